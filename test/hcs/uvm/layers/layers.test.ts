import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import t from "tap";
import { layerImage } from "../../../../src/hcs/uvm/layers/layer-image.ts";
import { createScratchDisk, makeScratchImage } from "../../../../src/hcs/uvm/layers/scratch-disk.ts";
import { shortDirectory } from "../../short-directory.ts";

t.setTimeout(120_000);

/** A tree with everything that a layer may hold. */
function makeTree(directory: string): void {
  mkdirSync(join(directory, "etc/deep/er"), { recursive: true });
  writeFileSync(join(directory, "etc/hello"), "hello\n");
  chownSync(join(directory, "etc/hello"), 1234, 5678);
  chmodSync(join(directory, "etc/hello"), 0o4751);
  linkSync(join(directory, "etc/hello"), join(directory, "etc/again"));
  symlinkSync("../etc/hello", join(directory, "etc/link"));
  symlinkSync("x".repeat(200), join(directory, "etc/long link"));
  writeFileSync(join(directory, "big"), Buffer.alloc(3_000_001, "b"));
  for (let index = 0; index < 300; index++)
    writeFileSync(join(directory, `etc/deep/er/file ${index}`), `${index}`);
  execFileSync("mknod", [join(directory, "null"), "c", "1", "3"]);
  execFileSync("mkfifo", [join(directory, "pipe")]);
}

function debugfs(image: string, command: string): string {
  return execFileSync("debugfs", ["-R", command, image], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    maxBuffer: 16 << 20,
    env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
}

function check(image: string): string {
  return execFileSync("e2fsck", ["-f", "-n", image], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
}

t.test("a directory becomes an ext4 image with its owners, modes, links and devices", async (t) => {
  const directory = shortDirectory(t);
  const [root, cache] = [join(directory, "root"), join(directory, "cache")];
  makeTree(root);
  const image = await layerImage(root, { cache });
  t.equal(image.format, "ext4");
  t.equal(statSync(image.path).size, image.bytes);
  t.match(check(image.path), /files/);
  const file = debugfs(image.path, "stat /etc/hello");
  t.match(file, /Mode:\s+04751/);
  t.match(file, /User:\s+1234\s+Group:\s+5678/);
  t.match(file, /Links: 2/);
  t.match(debugfs(image.path, "stat /etc/link"), /Fast link dest: "..\/etc\/hello"/);
  t.match(debugfs(image.path, "stat /null"), /character special.*01:03/s);
  t.match(debugfs(image.path, "stat /pipe"), /FIFO/);
  t.equal(debugfs(image.path, "cat /etc/hello"), "hello\n");
  t.equal(debugfs(image.path, "cat /big").length, 3_000_001);
  t.equal(debugfs(image.path, `cat "/etc/deep/er/file 299"`), "299");

  const before = statSync(image.path).ino;
  t.equal(statSync((await layerImage(root, { cache })).path).ino, before, "the same image again");
  writeFileSync(join(root, "etc/hello"), "HELLO\n");
  const changed = await layerImage(root, { cache });
  t.not(changed.path, image.path);
  t.equal(debugfs(changed.path, "cat /etc/hello"), "HELLO\n");
  t.equal(readdirSync(cache).length, 2, "nothing half-made is left");
});

t.test("an empty directory and one of many small files fit", async (t) => {
  const directory = shortDirectory(t);
  const [empty, many, cache] = [join(directory, "empty"), join(directory, "many"), join(directory, "cache")];
  mkdirSync(empty);
  check((await layerImage(empty, { cache })).path);
  for (let group = 0; group < 40; group++) {
    mkdirSync(join(many, String(group)), { recursive: true });
    for (let index = 0; index < 150; index++)
      writeFileSync(join(many, String(group), `${"n".repeat(100)}${index}`), "");
  }
  const image = await layerImage(many, { cache });
  t.equal(
    debugfs(image.path, "ls -p /39")
      .split("\n")
      .filter((line) => line.includes("nnn")).length,
    150,
  );
});

t.test("an erofs image", async (t) => {
  const directory = shortDirectory(t);
  const [root, cache] = [join(directory, "root"), join(directory, "cache")];
  makeTree(root);
  const image = await layerImage(root, { cache, format: "erofs" });
  t.equal(image.format, "erofs");
  t.ok(image.bytes < 3_000_001, "compressed");
  execFileSync("fsck.erofs", [image.path], { stdio: ["ignore", "ignore", "inherit"] });
});

t.test("what cannot become an image says why", async (t) => {
  const directory = shortDirectory(t);
  const cache = join(directory, "cache");
  const file = join(directory, "file");
  writeFileSync(file, "");
  await t.rejects(layerImage("/proc/none", { cache }), { code: "INVALID_ARGUMENT", message: /\/proc\/none/ });
  await t.rejects(layerImage(file, { cache }), { code: "INVALID_ARGUMENT", message: /no directory/ });
  const root = join(directory, "root");
  mkdirSync(root);
  await t.rejects(layerImage(root, { cache, signal: AbortSignal.abort() }), { code: "ABORTED" });
  t.same(readdirSync(cache), []);
});

t.test("a scratch disk is sparse and formatted, or raw", async (t) => {
  const directory = shortDirectory(t);
  const scratch = join(directory, "scratch");
  await createScratchDisk(scratch, { bytes: 20 * 2 ** 30 });
  t.match(check(scratch), /files/);
  t.equal(statSync(scratch).size, 20 * 2 ** 30);
  t.ok(statSync(scratch).blocks * 512 < 64 * 2 ** 20, "takes little of the disk");
  const raw = join(directory, "raw");
  await createScratchDisk(raw, { bytes: 8 * 2 ** 20, format: "raw" });
  t.equal(statSync(raw).blocks, 0);
  const temporary = await makeScratchImage(64 * 2 ** 20);
  check(temporary.path);
  await temporary.close();
  t.notOk(existsSync(temporary.path));
  await t.rejects(createScratchDisk(raw, { bytes: 8 * 2 ** 20 }), {
    code: "SYSTEM_CALL_FAILED",
    message: /raw$/,
  });
  await t.rejects(createScratchDisk(join(directory, "small"), { bytes: 4096 }), { code: "INVALID_ARGUMENT" });
  t.notOk(existsSync(join(directory, "small")));
});
