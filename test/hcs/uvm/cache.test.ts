/** The user's cache: who may touch it, what is kept of it, and what those who use it at once see. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import { cacheEntries, trim } from "../../../src/common/cache/cache.ts";
import { cacheDirectory } from "../../../src/common/cache/cache-directory.ts";
import { layerImage, leaseLayerImage } from "../../../src/hcs/uvm/layers/layer-image.ts";

const NOBODY = 65534;

/** A cache of the test's own, as XDG_CACHE_HOME says. */
function ownCache(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), "lcow-cache-"));
  const before = process.env.XDG_CACHE_HOME;
  process.env.XDG_CACHE_HOME = directory;
  t.teardown(() => {
    if (before === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = before;
    rmSync(directory, { recursive: true, force: true });
  });
  return directory;
}

function makeTree(directory: string, content = "secret\n"): string {
  mkdirSync(join(directory, "etc"), { recursive: true });
  writeFileSync(join(directory, "etc/shadow"), content, { mode: 0o600 });
  return directory;
}

const mode = (path: string) => (lstatSync(path).mode & 0o7777).toString(8);

test("a cache that somebody else could change is refused, with the owner and the remedy", async (t) => {
  const elsewhere = ownCache(t);
  const refusals: [string, (home: string) => void, RegExp][] = [
    ["a planted link", (home) => symlinkSync(elsewhere, home), /lcow-gcs is a link of root/],
    [
      "another's link",
      (home) => execFileSync("sh", ["-c", 'ln -s /tmp "$0" && chown -h 65534 "$0"', home]),
      /lcow-gcs is a link of user 65534/,
    ],
    [
      "another's directory",
      (home) => {
        mkdirSync(home);
        chownSync(home, NOBODY, NOBODY);
      },
      /lcow-gcs belongs to user 65534/,
    ],
    [
      "one that all may write to",
      (home) => {
        mkdirSync(home);
        chmodSync(home, 0o1777);
      },
      /lcow-gcs of root can be written to by others; remove it/,
    ],
    ["a file", (home) => writeFileSync(home, ""), /lcow-gcs is no directory/],
    [
      "one whose kind is a link",
      (home) => {
        mkdirSync(home, { mode: 0o700 });
        symlinkSync(elsewhere, join(home, "layers"));
      },
      /lcow-gcs\/layers is a link of root/,
    ],
  ];
  for (const [what, plant, message] of refusals) {
    const cache = ownCache(t);
    plant(join(cache, "lcow-gcs"));
    await t.rejects(cacheDirectory("layers"), { code: "INVALID_ARGUMENT", message }, what);
    await t.rejects(cacheDirectory("layers"), { message: /set XDG_CACHE_HOME to a directory of your own/ });
  }
  t.same(readdirSync(elsewhere), [], "nothing was written through a link");

  const parent = ownCache(t);
  chownSync(parent, NOBODY, NOBODY);
  await t.rejects(cacheDirectory("layers"), {
    message: /lcow-cache-\w+, on the way to it, belongs to user 65534/,
  });
  chownSync(parent, 0, 0);
  chmodSync(parent, 0o777);
  await t.rejects(cacheDirectory("layers"), { message: /on the way to it, can be written to by others/ });
  t.same(readdirSync(parent), []);
  chmodSync(parent, 0o755);
  mkdirSync(join(parent, "theirs"));
  symlinkSync(join(parent, "theirs"), join(parent, "link"));
  chownSync(join(parent, "theirs"), NOBODY, NOBODY);
  process.env.XDG_CACHE_HOME = join(parent, "link/below");
  await t.rejects(cacheDirectory("layers"), { message: /theirs, on the way to it, belongs to user 65534/ });
  t.same(readdirSync(join(parent, "theirs")), []);
  process.env.XDG_CACHE_HOME = join(parent, "own/below");
  t.equal(await cacheDirectory("layers"), join(parent, "own/below/lcow-gcs/layers"), "made with its parents");
});

test("one of ours that others could read is closed to them; images are their user's alone", async (t) => {
  const cache = ownCache(t);
  mkdirSync(join(cache, "lcow-gcs/layers"), { recursive: true, mode: 0o755 });
  const root = makeTree(join(cache, "root"));
  const made = await Promise.all([layerImage(root), layerImage(root, { format: "erofs" })]);
  t.equal(mode(join(cache, "lcow-gcs")), "700");
  t.equal(mode(join(cache, "lcow-gcs/layers")), "700");
  for (const { path } of made) t.equal(mode(path), "600");

  // In a directory that the caller chose, and lets others look into.
  const chosen = join(cache, "chosen");
  mkdirSync(chosen, { mode: 0o755 });
  for (const format of ["ext4", "erofs"] as const) {
    t.equal(mode((await layerImage(root, { cache: chosen, format })).path), "600");
  }
  t.equal(mode(chosen), "755");
  chownSync(chosen, NOBODY, NOBODY);
  await t.rejects(layerImage(root, { cache: chosen }), { message: /chosen belongs to user 65534/ });
});

test("the cache is bounded: what was not used for longest goes, and nothing that is in use", async (t) => {
  const cache = ownCache(t);
  t.teardown(() => delete process.env.LCOW_CACHE_SIZE);
  const image = async (name: string) => await leaseLayerImage(makeTree(join(cache, name), name));
  const [one, two, three] = [await image("one"), await image("two"), await image("three")];
  for (const lease of [two, three]) lease.release();
  const age = (name: string, hours: number) => {
    const stamp = join(cache, "lcow-gcs/in-use", `stamp:layers:${name.split("/").at(-1)}`);
    const time = new Date(Date.now() - hours * 3_600_000);
    utimesSync(stamp, time, time);
  };
  age(one.path, 3);
  age(two.path, 1);
  age(three.path, 2);
  process.env.LCOW_CACHE_SIZE = String(3 * statSync(one.path).blocks * 512 + 4096);
  const four = await image("four");
  const left = () => [one, two, three, four].map(({ path }) => existsSync(path));
  t.same(left(), [true, true, false, true], "the oldest is in use, the next one goes");
  await image("two").then((lease) => lease.release());
  one.release();
  age(one.path, 3);
  process.env.LCOW_CACHE_SIZE = "1.5kb";
  const five = await image("five");
  t.same(left(), [false, false, false, true]);
  t.ok(existsSync(five.path), "the new one is in use");

  process.env.LCOW_CACHE_SIZE = "much";
  await t.rejects(image("six"), { code: "INVALID_ARGUMENT", message: /LCOW_CACHE_SIZE=much/ });
  delete process.env.LCOW_CACHE_SIZE;
  const entries = await cacheEntries("layers");
  trim(entries, { bytes: Number.POSITIVE_INFINITY, count: 1 });
  t.same(left(), [false, false, false, true]);
  for (const lease of [four, five]) lease.release();
  trim(entries, { bytes: Number.POSITIVE_INFINITY, count: 1 });
  t.equal(entries.list().length, 1);
  t.same(
    readdirSync(entries.directory).filter((name) => name.startsWith(".")),
    [],
    "nothing half-made or half-removed is left",
  );
});

test("a killed process holds nothing: neither its entries nor a removal it began", async (t) => {
  const cache = ownCache(t);
  const root = makeTree(join(cache, "root"));
  const lease = await leaseLayerImage(root);
  lease.release();
  const name = lease.path.split("/").at(-1) ?? "";
  const inUse = join(cache, "lcow-gcs/in-use");
  const [boot, namespace] =
    /\/\.making-(\w+)-(\d+)-/.exec((await cacheEntries("layers")).stagingPath())?.slice(1) ?? [];
  // Process 1 has another start time: this stands for one that has ended.
  const dead = `${boot}-${namespace}-1-999999999`;
  writeFileSync(join(inUse, `used:layers:${name}:${dead}:0`), "");
  writeFileSync(join(inUse, `doomed:layers:${name}`), dead);
  writeFileSync(join(cache, `lcow-gcs/layers/.making-${dead}-0a1b2c3d`), "");

  const again = await leaseLayerImage(root);
  t.ok(existsSync(again.path), "made anew under another name, since the removal may go on any time");
  again.release();
  const entries = await cacheEntries("layers");
  t.same(entries.abandoned(), [join(entries.directory, `.making-${dead}-0a1b2c3d`)]);
  trim(entries, { bytes: 0, count: 0 });
  t.same(entries.list(), []);
  t.same(readdirSync(inUse), []);
});

test("those who use images while others remove them all find theirs, whole", async (t) => {
  const cache = ownCache(t);
  const root = makeTree(join(cache, "root"));
  const module = (name: string) => new URL(`../../../src/${name}`, import.meta.url).pathname;
  const user = `
    import { readFileSync } from "node:fs";
    import { leaseLayerImage } from ${JSON.stringify(module("hcs/uvm/layers/layer-image.ts"))};
    for (let round = 0; round < 25; round++) {
      const image = await leaseLayerImage(${JSON.stringify(root)});
      await new Promise((resolve) => setTimeout(resolve, 2));
      if (readFileSync(image.path).readUInt16LE(0x438) !== 0xef53) throw new Error("no ext4");
      image.release();
    }`;
  const remover = `
    import { cacheEntries, trim } from ${JSON.stringify(module("common/cache/cache.ts"))};
    const entries = await cacheEntries("layers");
    for (const end = Date.now() + 60_000; Date.now() < end && !process.exitCode; ) {
      trim(entries, { bytes: 0, count: 0 });
      await new Promise((resolve) => setTimeout(resolve, 1));
    }`;
  const { execa } = await import("execa");
  const node = (script: string) =>
    execa(process.execPath, ["--input-type=module-typescript", "-e", script], {
      reject: false,
    });
  const removing = [node(remover), node(remover)];
  const used = await Promise.all([node(user), node(user), node(user)]);
  for (const process of removing) process.kill("SIGKILL");
  await Promise.all(removing);
  for (const { exitCode, stderr } of used) t.equal(exitCode, 0, stderr);
  trim(await cacheEntries("layers"), { bytes: 0, count: 0 });
  t.same((await cacheEntries("layers")).list(), []);
});
