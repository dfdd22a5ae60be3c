import { randomUUID } from "node:crypto";
import { existsSync, renameSync } from "node:fs";
import { open, rm, stat, truncate } from "node:fs/promises";
import { join, resolve } from "node:path";
import { cacheBounds, cacheEntries, trim } from "../../../common/cache/cache.ts";
import type { Entries } from "../../../common/cache/entries.ts";
import { makeOwn } from "../../../common/cache/trusted-directory.ts";
import { AgentError } from "../../../common/errors.ts";
import { type DirectoryDigest, digestDirectory } from "./directory-digest.ts";
import { MKE2FS, MKFS_EROFS, makeFilesystem } from "./make-filesystem.ts";

export interface LayerImage {
  /** A raw disk image, for a read-only disk. */
  readonly path: string;
  readonly format: "ext4" | "erofs";
  /** Its length; what it takes on disk is less where it is sparse. */
  readonly bytes: number;
}

export interface LayerOptions {
  /** Default ext4, as of LCOW layers; erofs is compressed and needs erofs-utils here and erofs in the guest. */
  readonly format?: "ext4" | "erofs";
  /** Where images are kept; default the user's cache. Whoever owns it removes what is not needed any more. */
  readonly cache?: string;
  readonly signal?: AbortSignal;
}

/** Part of every image's name: changes whenever the same directory would give another image. */
const FORMAT_VERSION = 1;
const MIB = 2 ** 20;
const INODE_BYTES = 256;
/** A file or directory with a long name or attributes may need blocks beside its data. */
const SPARE_BYTES_PER_ENTRY = 256;
const SPARE_BYTES = 4 * MIB;

/** An image in use: it stays until it is released, or this process ends. */
export interface LeasedImage extends LayerImage {
  release(): void;
}

/**
 * Makes a directory into a read-only file system image, with the owners, modes, links, devices, times and extended
 * attributes that it has here. Needs no root, beyond reading the files. An unchanged directory is found in the cache,
 * which forgets what was not used for longest; this image stays there for as long as this process runs.
 * @throws AgentError INVALID_ARGUMENT, SYSTEM_CALL_FAILED, HELPER_FAILED, HELPER_TIMEOUT, SPAWN_FAILED, ABORTED;
 *   INVALID_STATE when the directory changed meanwhile
 */
export async function layerImage(directory: string, options: LayerOptions = {}): Promise<LayerImage> {
  const { path, format, bytes } = await leaseLayerImage(directory, options);
  return { path, format, bytes };
}

/** As layerImage(), for as long as it is needed. */
export async function leaseLayerImage(directory: string, options: LayerOptions = {}): Promise<LeasedImage> {
  const { format = "ext4", cache, signal } = options;
  const source = resolve(directory);
  const digest = await digestDirectory(source);
  const shared = cache === undefined ? await cacheEntries("layers") : undefined;
  const entries = shared ?? ownEntries(cache ?? "");
  const name = `${digest.sha256}-${FORMAT_VERSION}.${format}`;
  const found = entries.take(name);
  if (found !== undefined) return { ...found, format, bytes: (await stat(found.path)).size };

  const made = entries.stagingPath();
  try {
    // Made here, so that nobody else can read it at any time: mkfs.erofs would let all read what only root may.
    await using file = await open(made, "wx", 0o600);
    await (format === "ext4" ? makeExt4(source, made, digest, signal) : makeErofs(source, made, signal));
    if ((await digestDirectory(source)).sha256 !== digest.sha256) {
      throw new AgentError(
        "INVALID_STATE",
        `${directory} changed while its image was made; try again when it rests`,
      );
    }
    // After a power failure a name must not lead to a file without its contents.
    await file.sync();
    const lease = entries.add(made, name);
    if (shared !== undefined) trim(shared, cacheBounds());
    return { ...lease, format, bytes: (await stat(lease.path)).size };
  } finally {
    await rm(made, { force: true });
  }
}

/** Images in a directory of the caller's, who removes them. */
function ownEntries(cache: string): Pick<Entries, "take" | "add" | "stagingPath"> {
  makeOwn(cache, "choose a directory of your own");
  const lease = (name: string) => ({ path: join(cache, name), release: () => undefined });
  return {
    take: (name) => (existsSync(join(cache, name)) ? lease(name) : undefined),
    stagingPath: () => join(cache, `.making-${randomUUID()}`),
    add(made, name) {
      renameSync(made, join(cache, name));
      return lease(name);
    },
  };
}

async function makeExt4(
  source: string,
  image: string,
  digest: DirectoryDigest,
  signal?: AbortSignal,
): Promise<void> {
  const inodes = digest.entries + 64;
  const content = digest.bytes + inodes * (INODE_BYTES + SPARE_BYTES_PER_ENTRY);
  // Too much costs nothing, since the image is sparse; extents and group descriptors take under 3 in 100.
  const bytes = Math.ceil((content * 1.05 + SPARE_BYTES) / MIB) * MIB;
  await truncate(image, bytes);
  const features =
    "extent,huge_file,flex_bg,64bit,dir_index,filetype,sparse_super,large_file,dir_nlink,extra_isize";
  await makeFilesystem(
    MKE2FS,
    [
      ...["-q", "-F", "-t", "ext4", "-b", "4096", "-I", String(INODE_BYTES), "-m", "0", "-N", String(inodes)],
      // Read-only: nothing to journal, nothing to grow into.
      ...["-O", `none,${features}`, "-E", "lazy_itable_init=1,nodiscard", "-d", source, image],
    ],
    signal,
  );
}

async function makeErofs(source: string, image: string, signal?: AbortSignal): Promise<void> {
  await makeFilesystem(MKFS_EROFS, ["--quiet", "-zlz4", image, source], signal);
}
