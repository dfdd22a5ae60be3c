/** Containers' root file systems with --local: which of them are written to, and which are not. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import tap, { type Test, test } from "tap";
import { makeDefaultSpec } from "../../src/hcs/uvm/default-spec.ts";
import { LocalUvm } from "../../src/hcs/uvm/local/local-uvm.ts";
import { copyRootfs } from "../helpers/rootfs.ts";
import { treeDigest } from "../helpers/tree-digest.ts";
import { LCOW, lcow, run } from "./lcow.ts";

tap.setTimeout(240_000);

const sh = (script: string) => ["--", "/bin/sh", "-c", script];

function temporaryDirectory(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), "lcow-root-"));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

test("the default root is shared and stays as it is, whatever directory a container works in", async (t) => {
  const cache = temporaryDirectory(t);
  const shared = (...args: string[]) =>
    lcow(t, ["run", "--local", ...args], { env: { XDG_CACHE_HOME: cache } });
  t.match(await shared("--", "/bin/true"), { status: 0, stderr: "" });
  const roots = join(cache, "lcow-gcs/roots");
  const before = treeDigest(roots);
  for (const directory of ["/x", "/etc/deep/er", "/bin/in", "/new/../other", "/tmp/t"]) {
    t.match(await shared("-w", directory, ...sh("pwd")), {
      status: 0,
      stdout: `${join(directory, ".").replace(/\/$/, "")}\n`,
    });
  }
  t.match(await shared("-w", "/bin/busybox", "--", "/bin/true"), { status: /^12[567]$/ });
  t.match(await shared(...sh("ls -d /x /etc/deep /bin/in /other /new")), { stdout: "" });
  t.match(await shared(...sh("echo > /x")), { status: 1, stderr: /Read-only/ });
  t.equal(treeDigest(roots), before);
});

test("--root DIR stays as it is, and what is written to it is gone afterwards", async (t) => {
  const directory = temporaryDirectory(t);
  const root = copyRootfs(join(directory, "root"));
  mkdirSync(join(root, "data"));
  writeFileSync(join(root, "data/old"), "old\n");
  const before = treeDigest(root);
  const script = `echo new > /data/new; echo changed > /data/old; rm /etc/group; chmod 700 /etc; mv /var /moved
    ln -s /data /link; mknod /pipe p; touch /bin; cat /data/new /data/old; ls -d /moved /link /pipe; pwd`;
  t.match(await run(t, "--root", root, "-w", "/work/here", ...sh(script)), {
    status: 0,
    stdout: "new\nchanged\n/link\n/moved\n/pipe\n/work/here\n",
    stderr: "",
  });
  t.equal(treeDigest(root), before);
  t.match(await run(t, "--root", root, ...sh("ls -d /data/* /work /moved")), { stdout: "/data/old\n" });
  t.match(await run(t, "--root", root, "-u", "nobody", "-w", "/as/nobody", ...sh("pwd")), { status: 0 });
  t.equal(treeDigest(root), before);
});

test("--root DIR --read-write is written to; without --root or --local it is a usage error", async (t) => {
  const root = copyRootfs(join(temporaryDirectory(t), "root"));
  t.match(await run(t, "--root", root, "--read-write", "-w", "/made", ...sh("echo kept > file")), {
    status: 0,
  });
  t.equal(readFileSync(join(root, "made/file"), "utf8"), "kept\n");
  for (const words of [
    ["--local", "--read-write"],
    ["--read-write", "--root", root],
  ]) {
    const refused = await lcow(t, ["run", ...words, "--", "/bin/true"]);
    t.match(refused, { status: 2, stderr: /--read-write needs --(root|local)/ });
  }
  t.match(await run(t, "--root", "", "--", "/bin/true"), { status: 2, stderr: /--root.*no such directory/ });
});

test("a root may have any name, be a link, or be the machine's own", async (t) => {
  const directory = temporaryDirectory(t);
  const names = ['all: of, these\\: "and" these=\n too ä', "back\\", ":", ",upperdir="];
  const long = Array.from({ length: 17 }, () => "n".repeat(230)).join("/");
  for (const name of [...names, long]) {
    mkdirSync(join(directory, name), { recursive: true });
    const root = copyRootfs(join(directory, name, "r"));
    const before = treeDigest(root);
    const made = await run(t, "--root", root, "-w", "/x", ...sh("touch /y; ls -d /x /y"));
    t.match(made, { status: 0, stdout: "/x\n/y\n", stderr: "" }, JSON.stringify(name.slice(0, 20)));
    t.equal(treeDigest(root), before);
  }
  symlinkSync(join(directory, ":/r"), join(directory, "link"));
  t.match(await run(t, "--root", join(directory, "link"), ...sh("touch /y; ls /y")), { stdout: "/y\n" });

  const witness = `lcow-was-here-${process.pid}`;
  t.teardown(() => rmSync(`/${witness}`, { recursive: true, force: true }));
  t.match(await run(t, "--root", "/", "-w", `/${witness}`, ...sh("echo hi > file; cat file")), {
    status: 0,
    stdout: "hi\n",
  });
  t.notOk(existsSync(`/${witness}`));
});

test("a root of another owner is that user's in the container, too", async (t) => {
  const root = copyRootfs(join(temporaryDirectory(t), "root"));
  chownSync(root, 1000, 1000);
  t.match(await run(t, "--root", root, "-u", "1000:1000", ...sh("echo mine > /file; cat /file")), {
    stdout: "mine\n",
  });
  t.match(await run(t, "--root", root, "-u", "1001:1001", ...sh("echo mine > /file")), { status: 1 });
});

test("a root without the command, and one that no layer can be put above, say so", async (t) => {
  const directory = temporaryDirectory(t);
  const empty = join(directory, "empty");
  mkdirSync(empty);
  t.match(await run(t, "--root", empty, "--", "/bin/true"), { status: 127 });
  t.same(readdirSync(empty), []);
  writeFileSync(join(directory, "file"), "");
  t.match(await run(t, "--root", join(directory, "file"), "--", "/bin/true"), {
    status: 2,
    stderr: /file.*no such directory/,
  });

  // The kernel stacks overlays twice and no further.
  const root = copyRootfs(join(directory, "root"));
  const script = `
    mount -t tmpfs none "$0" && cd "$0" && mkdir a b u v w x
    mount -t overlay -o "lowerdir=$1,upperdir=u,workdir=w" none a
    mount -t overlay -o lowerdir=a,upperdir=v,workdir=x none b
    shift && exec "$@"`;
  const stacked = (...options: string[]) =>
    outcome(
      spawn("unshare", [
        ...["-m", "sh", "-c", script, empty, root, LCOW, "run", "--local"],
        ...["--root", join(empty, "b"), ...options, ...sh("echo hi > /x; cat /x")],
      ]),
    );
  t.match(await stacked(), { status: 125, stderr: /empty\/b.*--read-write.*\[MOUNT_FAILED\]/ });
  t.match(await stacked("--read-write"), { status: 0, stdout: "hi\n" });
});

test("what is written above a root is bounded, in bytes and in files", async (t) => {
  const uvm = await LocalUvm.start();
  t.teardown(() => uvm.close());
  const directory = uvm.runtime.root.replace(/\/runtime$/, "");
  const root = copyRootfs(join(temporaryDirectory(t), "root"));
  const rootPath = join(directory, "bounded");
  await uvm.guest.modify({
    ResourceType: "CombinedLayers",
    RequestType: "Add",
    Settings: {
      ContainerRootPath: rootPath,
      Layers: [{ Path: root }],
      ScratchPath: join(directory, "bounded-scratch"),
      ScratchSizeInBytes: 2 ** 20,
    },
  });
  const script =
    "head -c 2097152 /dev/zero > /file; rm /file; i=0; while mkdir /d$i; do i=$((i+1)); done; echo $i";
  const spec = makeDefaultSpec({
    args: ["/bin/sh", "-c", script],
    rootPath,
    ...(uvm.maximumOpenFiles !== undefined && { maximumOpenFiles: uvm.maximumOpenFiles }),
  });
  const container = await uvm.guest.createContainer("bounded", {
    bundlePath: uvm.bundlePath("bounded"),
    spec,
  });
  await container.start();
  const init = await container.createProcess({ stdout: true, stderr: true });
  if (init.stdout === undefined || init.stderr === undefined) throw new Error("no output");
  const [stdout, stderr] = await Promise.all([text(init.stdout), text(init.stderr)]);
  t.match(stderr, /^head: .*error\nmkdir: .*: No space left on device\n$/);
  t.ok(Number(stdout) < 2000, `${stdout.trim()} directories`);
  await container.deleteState();
});

async function outcome(child: ReturnType<typeof spawn>) {
  const ended = once(child, "close");
  const read = (stream: typeof child.stdout) => (stream === null ? "" : text(stream));
  const [stdout, stderr] = await Promise.all([read(child.stdout), read(child.stderr)]);
  const [status] = await ended;
  return { status, stdout, stderr };
}
