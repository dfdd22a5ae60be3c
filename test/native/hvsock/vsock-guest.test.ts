import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, copyFileSync, globSync, mkdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { build } from "esbuild";
import tap, { type Test, test } from "tap";
import { buildImage, root } from "../../rootfs/image.ts";
import { temporaryDirectory } from "./support.ts";

// Half a minute on an idle machine, under emulation; this one may be busy.
tap.setTimeout(900_000);

const modules = ["vsock", "vmw_vsock_virtio_transport_common", "vsock_loopback"];

// With loopback as its only transport, a guest that dials the host's context id reaches itself.
const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t devtmpfs dev /dev; mkdir -p /dev/pts; mount -t devpts devpts /dev/pts
for module in ${modules.join(" ")}; do insmod /$module.ko; done
LCOW_GCS_HVSOCK=/hvsock.node PATH=/bin /bin/node /program.mjs
poweroff -f
`;

/** Copies a file, and for a binary the libraries it needs to where it looks for them. */
function install(tree: string, from: string, to: string): void {
  copyFileSync(from, join(tree, to));
  const libraries = execFileSync("sh", ["-c", 'ldd "$1" 2>/dev/null || true', "sh", from], {
    encoding: "utf8",
  });
  for (const [library] of libraries.matchAll(/(?<=\s)\/[^ ]+(?= \()/g)) {
    mkdirSync(join(tree, dirname(library)), { recursive: true });
    copyFileSync(library, join(tree, library));
  }
}

async function makeInitrd(t: Test): Promise<string> {
  const directory = temporaryDirectory(t);
  const tree = join(directory, "tree");
  for (const name of ["bin", "dev", "proc"]) mkdirSync(join(tree, name), { recursive: true });
  install(tree, "/bin/busybox", "bin/busybox");
  install(tree, process.execPath, "bin/node");
  install(tree, join(root, "native/hvsock/build/Release/hvsock.node"), "hvsock.node");
  for (const module of modules) {
    const [file] = globSync(
      `out/cache/unpacked/linux-image-*/lib/modules/*/kernel/net/vmw_vsock/${module}.ko`,
      {
        cwd: root,
      },
    );
    if (file === undefined) throw new Error(`the image's kernel has no ${module}`);
    copyFileSync(join(root, file), join(tree, basename(file)));
  }
  await build({
    entryPoints: [join(import.meta.dirname, "guest/program.ts")],
    outfile: join(tree, "program.mjs"),
    bundle: true,
    platform: "node",
    format: "esm",
    logLevel: "error",
  });
  writeFileSync(join(tree, "init"), init);
  chmodSync(join(tree, "init"), 0o755);
  const initrd = join(directory, "initrd.img");
  execFileSync("sh", ["-c", 'find . | cpio --quiet -o -H newc > "$1"', "sh", initrd], { cwd: tree });
  return initrd;
}

test("sockets, dials and relays over AF_VSOCK, on the kernel of the image", async (t) => {
  await buildImage();
  const options = [
    ...["-M", "q35", "-accel", "tcg", "-m", "1024"],
    ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"],
    ...["-kernel", join(root, "out/kernel"), "-initrd", await makeInitrd(t)],
    ...["-append", "console=ttyS0 panic=-1 quiet"],
  ];
  const machine = spawn("qemu-system-x86_64", options, {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 600_000,
    killSignal: "SIGKILL",
  });
  t.teardown(() => machine.kill("SIGKILL"));
  let text = "";
  machine.stdout.setEncoding("latin1").on("data", (chunk: string) => {
    text += chunk;
  });
  await once(machine, "close");
  const lines = text.replaceAll("\r", "").split("\n");
  const passed = lines.filter((line) => line.startsWith("ok "));
  t.same(
    lines.filter((line) => line.startsWith("not ok ")),
    [],
    "nothing failed",
  );
  t.ok(lines.includes("end"), "it came to its end");
  t.equal(passed.length, 12, "all were run");
  if (!t.passing()) t.comment(text);
});
