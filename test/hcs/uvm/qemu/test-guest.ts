import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { buildForwarder, FORWARDER } from "../../transport/forwarder/forwarder-process.ts";

const ROOT = join(import.meta.dirname, "../../../..");
const KERNEL = join(ROOT, "out/kernel");
const MODULES = [
  "drivers/virtio/virtio_ring",
  "drivers/virtio/virtio",
  "drivers/virtio/virtio_pci_legacy_dev",
  "drivers/virtio/virtio_pci_modern_dev",
  "drivers/virtio/virtio_pci",
  "drivers/char/virtio_console",
  "drivers/scsi/scsi_common",
  "drivers/scsi/scsi_mod",
  "drivers/scsi/virtio_scsi",
  "lib/crc-t10dif",
  "lib/crc64",
  "block/t10-pi",
  "crypto/crct10dif_common",
  "crypto/crct10dif_generic",
  "crypto/crc64_rocksoft_generic",
  "lib/crc64-rocksoft",
  "drivers/scsi/sd_mod",
] as const;

/** Started by the kernel; what stands after `--` there is the command, which is run once the forwarder is up. */
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
for module in $(cat /modules/list); do insmod /modules/$module || echo "no $module"; done
if grep -qs lcow.vsock /sys/class/virtio-ports/*/name; then
  mkfifo /ready
  /bin/vsock-forwarder --listen /vsock/host --ready-fd 3 3>/ready &
  [ -n "$(head -c 1 /ready | tr '\\0' x)" ] || echo forwarder failed
  export GCS_TRANSPORT=forwarder:/vsock/host
fi
echo "guest: running $*"
"$@"
echo "guest: done with $?"
poweroff -f
`;

export interface TestGuest {
  readonly kernel: string;
  readonly initrd: string;
}

/** A guest of busybox, the forwarder and vsockexec, a few MB: it boots faster than the image. */
export function testGuest(
  t: { teardown(undo: () => void): void },
  scripts: Record<string, string> = {},
): TestGuest {
  if (!existsSync(KERNEL))
    throw new Error(`${KERNEL} is missing; build the image: bin/node-pinned rootfs/build.ts`);
  buildForwarder();
  execFileSync("make", ["-s", "-C", join(ROOT, "native/init")], { stdio: ["ignore", "ignore", "inherit"] });
  const directory = mkdtempSync(join(tmpdir(), "lcow-guest-"));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const tree = join(directory, "tree");
  for (const name of ["bin", "dev", "proc", "sys", "modules", "mnt", "tmp"]) {
    mkdirSync(join(tree, name), { recursive: true });
  }
  copyFileSync("/bin/busybox", join(tree, "bin/busybox"));
  copyFileSync(FORWARDER, join(tree, "bin/vsock-forwarder"));
  copyFileSync(join(ROOT, "native/init/out/vsockexec"), join(tree, "bin/vsockexec"));
  copyModules(join(tree, "modules"));
  writeScript(join(tree, "init"), INIT);
  for (const [name, text] of Object.entries(scripts)) writeScript(join(tree, "bin", name), text);
  const initrd = join(directory, "initrd.img");
  execFileSync("sh", ["-c", `find . | cpio --quiet -o -H newc > "$1"`, "sh", initrd], { cwd: tree });
  return { kernel: KERNEL, initrd };
}

function copyModules(into: string): void {
  const found = globSync("out/cache/unpacked/linux-image-*/lib/modules/*/kernel", { cwd: ROOT })[0];
  if (found === undefined) throw new Error("the kernel's modules are missing; build the image");
  const list: string[] = [];
  for (const module of MODULES) {
    // What is built in has no file.
    const file = join(ROOT, found, `${module}.ko`);
    if (!existsSync(file)) continue;
    copyFileSync(file, join(into, basename(file)));
    list.push(basename(file));
  }
  writeFileSync(join(into, "list"), list.join("\n"));
}

function writeScript(path: string, text: string): void {
  writeFileSync(path, text);
  chmodSync(path, 0o755);
}
