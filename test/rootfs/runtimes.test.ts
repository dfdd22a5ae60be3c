/** runc and crun: as new as Debian has them, with the libraries that they were built for. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import tap, { test } from "tap";
import { Archive } from "../../rootfs/archive.ts";
import { readElf } from "../../rootfs/elf.ts";
import * as image from "../../rootfs/image.ts";
import type { Manifest } from "../../rootfs/manifest.ts";
import { unpackPackages } from "../../rootfs/packages.ts";
import { runtimesTree, unpackRuntimes } from "../../rootfs/runtimes.ts";
import { Toolchain } from "../../rootfs/toolchain.ts";
import { root } from "./image.ts";

// The archive is asked anew, for some 12 MB of lists.
tap.setTimeout(600_000);

const cache = path.join(root, "out/cache");
const options = { cache, suite: image.defaultSuite, refresh: false, say: () => undefined };
/** Debian's releases that are looked at beside where the image's runtimes are from: all that still get mends. */
const releases = ["bookworm", "trixie"];

/** By dpkg's order of versions. */
const isOlder = (version: string, than: string) =>
  spawnSync("dpkg", ["--compare-versions", version, "lt", than]).status === 0;

test("versions are compared as dpkg does", (t) => {
  t.ok(isOlder("1.1.5+ds1-1+deb12u1", "1.1.15~rc1-1"));
  t.notOk(isOlder("1.3.6+ds1-1", "1.3.6+ds1-1"));
  t.notOk(isOlder("1.28-1", "1.8.1-1"));
  t.end();
});

test("the image's runtimes are not older than the newest that the archive has", async (t) => {
  const { runtimes } = JSON.parse(readFileSync(path.join(root, "out/image.json"), "utf8")) as Manifest;
  // Their own lists never change but to take over what is in these.
  const beside = releases.flatMap((release) =>
    ["updates", "security", "backports"].map((what) => `${release}-${what}`),
  );
  const archive = await Archive.open(path.join(cache, "apt/newest"), image.runtimes.suite, beside);
  await archive.update();
  for (const { name } of image.runtimes.packages) {
    const versions = await archive.versions(name);
    const [newest] = versions.sort((a, b) => (isOlder(a.version, b.version) ? 1 : -1));
    const has = runtimes.packages[name];
    if (newest === undefined || has === undefined) throw new Error(`there is no ${name}`);
    t.notOk(
      isOlder(has, newest.version),
      `the image has ${name} ${has}, and Debian ${newest.distribution} ${newest.version}: npm run image -- --refresh, or another suite in rootfs/image.ts`,
    );
  }
});

test("each runs with what its own suite has, in a place where nothing else looks", async (t) => {
  const { multiarch, kernelPackage } = image.architectures[process.arch === "arm64" ? "arm64" : "x64"];
  const unpacked = await unpackRuntimes({ ...options, suite: image.runtimes.suite });
  const toolchain = await Toolchain.open(options);
  const tree = await runtimesTree(unpacked, multiarch, cache, toolchain);
  const files = [...tree.entries()].filter(([, node]) => node.type === "file").map(([where]) => where);
  const programs = files.filter((where) => path.dirname(where) !== image.runtimes.directory);
  t.same(programs, ["usr/bin/crun", "usr/sbin/runc"]);
  for (const where of programs) {
    const node = tree.get(where);
    if (node?.type !== "file") throw new Error(where);
    const { interpreter = "", needed } = readElf(node.bytes, where);
    for (const library of [path.basename(interpreter), ...needed])
      t.ok(files.includes(`${image.runtimes.directory}/${library}`), `${where}: ${library}`);
    t.equal(path.dirname(interpreter), `/${image.runtimes.directory}`);
  }

  // As if its libraries were the image's.
  const own = await unpackPackages([kernelPackage, ...image.packages.map(({ name }) => name)], options);
  const mixed = unpacked.map((its) =>
    its.name === "libc6" ? (own.find(({ name }) => name === "libc6") ?? its) : its,
  );
  await t.rejects(runtimesTree(mixed, multiarch, cache, toolchain), {
    code: "NOT_SUPPORTED",
    message: /^usr\/bin\/crun would not run .*version `GLIBC_2\.38' not found.*--runtimes/s,
  });
});

test("where the mirror has not the suite of the runtimes, the build says what to do", async (t) => {
  await t.rejects(unpackRuntimes({ ...options, cache: t.testdir(), suite: "nonesuch" }), {
    code: "HELPER_FAILED",
    message: /runc and crun of Debian nonesuch cannot be had: .*nonesuch.*--runtimes bookworm/s,
  });
});
