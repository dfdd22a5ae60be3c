import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import tap, { test } from "tap";
import { type Manifest, outputs } from "../../rootfs/manifest.ts";
import { buildImage, root } from "./image.ts";

tap.setTimeout(900_000);

const directory = mkdtempSync(path.join(tmpdir(), "lcow-image-"));
tap.teardown(() => rmSync(directory, { recursive: true, force: true }));
const first = path.join(directory, "first");
const second = path.join(directory, "second");

// Level 1: the bytes differ from those of a release, not the way they come about.
await buildImage(["--level", "1", "--force", "--out", first]);

const hashes = (out: string) =>
  outputs.map((name) => [
    name,
    createHash("sha256")
      .update(readFileSync(path.join(out, name)))
      .digest("hex"),
  ]);

/** What `ls -l` of debugfs tells: mode and owner by path. */
function listDisk(below: string): Map<string, { mode: string; owner: string }> {
  const listing = execFileSync("debugfs", ["-R", `ls -p ${below}`, path.join(first, "rootfs.ext4")], {
    stdio: ["ignore", "pipe", "ignore"],
  }).toString();
  const rows = [...listing.matchAll(/^\/\d+\/(\d+)\/(\d+)\/(\d+)\/([^/]+)\//gm)];
  return new Map(rows.map(([, mode = "", uid, gid, name = ""]) => [name, { mode, owner: `${uid}:${gid}` }]));
}

test("the same inputs give the same bytes, whoever builds and when", async (t) => {
  await buildImage(["--level", "1", "--force", "--out", second], {
    TZ: "Asia/Tokyo",
    SOURCE_DATE_EPOCH: "1",
    LANG: "C",
  });
  t.same(hashes(second), hashes(first));
});

test("a build without a change writes nothing", async (t) => {
  const before = readdirSync(first);
  t.match(await buildImage(["--level", "1", "--out", first]), /up to date/);
  t.same(readdirSync(first), before);
});

test("neither an edited test nor the machine's own builds concern the image", async (t) => {
  for (const file of ["test/rootfs/build.test.ts", "native/hvsock/build/Release/hvsock.node"]) {
    const { atime, mtime } = statSync(path.join(root, file));
    t.teardown(() => utimesSync(path.join(root, file), atime, mtime));
    utimesSync(path.join(root, file), new Date(), new Date());
  }
  t.match(await buildImage(["--level", "1", "--out", first]), /up to date/);
});

test("the disk is a clean file system with everything in its place, owned by root", (t) => {
  const disk = path.join(first, "rootfs.ext4");
  t.match(
    execFileSync("e2fsck", ["-fn", disk], { stdio: ["ignore", "pipe", "ignore"] }).toString(),
    /lcow-root: \d+/,
  );
  t.match(listDisk("/").get("init"), { mode: "100755", owner: "0:0" });
  t.match(listDisk("/").get("bin"), { mode: "120777" });
  t.match(listDisk("/dev").get("console"), { mode: "020600", owner: "0:0" });
  const programs = new Set([...listDisk("/usr/bin").keys(), ...listDisk("/usr/sbin").keys()]);
  const wanted =
    "busybox chronyd crun cryptsetup dmsetup e2fsck gcs ip mke2fs modprobe node nsenter runc sh udhcpc veritysetup vsockexec";
  for (const name of wanted.split(" ")) t.ok(programs.has(name), name);
  t.notOk(programs.has("dpkg"), "no package manager");
  const own = listDisk("/usr/lib/gcs");
  for (const name of ["start.cjs", "gcs.cjs", "gcs.cache", "hvsock.node", "koffi.node"])
    t.equal(own.get(name)?.owner, "0:0", name);
  t.end();
});

test("the initrd is a first stage with the image in layers", (t) => {
  const initrd = readFileSync(path.join(first, "initrd.img"));
  const list = (archive: Buffer) =>
    execFileSync("cpio", ["-it", "--quiet"], { input: archive }).toString().trim().split("\n");
  const packed = initrd.lastIndexOf(Buffer.from("28b52ffd", "hex"));
  const layers = ["layers", ...["0-node", "1-debian", "2-own"].map((name) => `layers/${name}.squashfs`)];
  t.same(list(initrd.subarray(0, packed)), layers, "as they are");
  t.equal(packed % 4, 0, "where the kernel looks for the next archive");
  const names = list(execFileSync("zstd", ["-dc"], { input: initrd.subarray(packed), maxBuffer: 1 << 30 }));
  for (const name of ["dev/console", "etc/modules.list", "init"]) t.ok(names.includes(name), name);
  t.ok(names.some((name) => name.endsWith("/squashfs.ko")));
  t.same(names, [...names].sort(), "in a fixed order, so directories before what they hold");
  t.end();
});

test("vmlinux is the kernel, unpacked", (t) => {
  const release = /Linux version (\S+)/;
  const vmlinux = readFileSync(path.join(first, "vmlinux")).toString("latin1");
  const { kernelRelease } = JSON.parse(readFileSync(path.join(first, "image.json"), "utf8")) as Manifest;
  t.equal(release.exec(vmlinux)?.[1], kernelRelease);
  const notes = execFileSync("readelf", ["-n", path.join(first, "vmlinux")]).toString();
  t.match(notes, /Xen .*0x00000012/, "with the entry that QEMU starts it at (PVH)");
  t.end();
});

test("module lists: dependencies first, transports only where their device is", (t) => {
  const list = execFileSync("debugfs", ["-R", "cat /etc/modules.list", path.join(first, "rootfs.ext4")], {
    stdio: ["ignore", "pipe", "ignore"],
  }).toString();
  const lines = list.trim().split("\n");
  const line = (module: string) => lines.find((text) => text.includes(`/${module}.ko`)) ?? "";
  t.match(line("overlay"), /^- .*\/vsock\.ko /);
  t.notMatch(list, /vsock_loopback/, "over which a container could pose as the host");
  t.match(line("hv_sock"), /^acpi\*:VMBUS:\*,\S+ .*\/hv_vmbus\.ko .*\/hv_sock\.ko/);
  t.match(line("vmw_vsock_virtio_transport"), /^virtio:d00000013v\* /);
  t.match(line("dm-verity"), /^\+ /, "what modprobe loads on demand waits for the agent's start");
  t.end();
});

test("a missing tool is named with its remedy", async (t) => {
  // What the build runs of this machine, but no flock.
  const bin = path.join(directory, "bin");
  mkdirSync(bin);
  for (const name of ["sh", "dirname", "readlink", "uname"]) {
    symlinkSync(
      execFileSync("sh", ["-c", `readlink -f $(command -v ${name})`])
        .toString()
        .trim(),
      path.join(bin, name),
    );
  }
  const failing = buildImage(["--level", "1", "--force", "--out", second], { PATH: bin });
  await t.rejects(failing, {
    code: 1,
    stderr: /flock cannot be run; install the Debian package util-linux/,
  });
});

test("a wrong level is refused", async (t) => {
  await t.rejects(buildImage(["--level", "99"]), { code: 1, stderr: /--level 99 is no zstd level/ });
});
