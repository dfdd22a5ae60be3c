import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { squashfs } from "./image.ts";
import { inputKey } from "./manifest.ts";
import type { Toolchain } from "./toolchain.ts";
import type { Tree } from "./tree.ts";

const MOST_KEPT = 16;

interface Options {
  /** Where images are kept, by the hash of what is in them. */
  readonly cache: string;
  /** Seconds since 1970, for every time in the image. */
  readonly timestamp: number;
  /** zstd level. */
  readonly level: number;
  /** Make it even if it is kept. */
  readonly force: boolean;
  readonly toolchain: Toolchain;
}

/** The tree as a compressed squashfs image, owned by root whoever builds it; kept, as compressing takes long. */
export async function squashfsImage(tree: Tree, options: Options): Promise<Buffer> {
  const key = inputKey(
    [tree],
    [],
    [JSON.stringify([options.timestamp, options.level, squashfs, options.toolchain.version])],
  ).slice(0, 16);
  const kept = path.join(options.cache, `${key}.squashfs`);
  if (options.force || !existsSync(kept)) {
    const partial = `${kept}.${process.pid}`;
    writeFileSync(partial, await makeImage(tree, options));
    renameSync(partial, kept);
  }
  const now = new Date();
  utimesSync(kept, now, now);
  forgetOldest(options.cache);
  return readFileSync(kept);
}

/** Of the images that are kept only a few, the latest used, can be wanted again. */
function forgetOldest(cache: string): void {
  const names = readdirSync(cache).filter((name) => name.endsWith(".squashfs"));
  const byUse = names.map((name) => ({ name, used: statSync(path.join(cache, name)).mtimeMs }));
  byUse.sort((a, b) => b.used - a.used);
  for (const { name } of byUse.slice(MOST_KEPT)) rmSync(path.join(cache, name));
}

async function makeImage(tree: Tree, options: Options): Promise<Buffer> {
  return await options.toolchain.inDirectory(async (work) => {
    const root = path.join(work, "root");
    mkdirSync(root);
    const devices: string[] = [];
    for (const [where, node] of tree.entries()) {
      const target = path.join(root, where);
      if (node.type === "directory") mkdirSync(target);
      if (node.type === "file") writeFileSync(target, node.bytes);
      if (node.type === "symlink") symlinkSync(node.target, target);
      if (node.type === "character")
        devices.push(`${where} c ${node.mode.toString(8)} 0 0 ${node.major} ${node.minor}`);
      if (node.type === "directory" || node.type === "file") chmodSync(target, node.mode);
    }
    chmodSync(root, 0o755);
    writeFileSync(path.join(work, "devices"), `${devices.join("\n")}\n`);
    const time = String(options.timestamp);
    await options.toolchain.run(work, [
      ...["mksquashfs", "root", "root.squashfs", "-noappend", "-no-progress", "-quiet"],
      ...["-all-root", "-no-xattrs", "-no-exports", "-all-time", time, "-mkfs-time", time, "-pf", "devices"],
      ...["-comp", "zstd", "-Xcompression-level", String(options.level), "-b", String(squashfs.blockSize)],
    ]);
    return readFileSync(path.join(work, "root.squashfs"));
  });
}
