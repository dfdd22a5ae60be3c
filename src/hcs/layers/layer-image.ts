import { mkdir, mkdtemp, rename, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { AgentError } from "../../errors.ts";
import { cacheDirectory } from "../cache-directory.ts";
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

/**
 * Makes a directory into a read-only file system image, with the owners, modes, links, devices, times and extended
 * attributes that it has here. Needs no root, beyond reading the files. An unchanged directory is found in the cache.
 * @throws AgentError INVALID_ARGUMENT, SYSTEM_CALL_FAILED, HELPER_FAILED, HELPER_TIMEOUT, SPAWN_FAILED, ABORTED;
 *   INVALID_STATE when the directory changed meanwhile
 */
export async function layerImage(directory: string, options: LayerOptions = {}): Promise<LayerImage> {
  const format = options.format ?? "ext4";
  const source = resolve(directory);
  const digest = await digestDirectory(source);
  const cache = options.cache ?? (await cacheDirectory("layers"));
  await mkdir(cache, { recursive: true });
  const path = join(cache, `${digest.sha256}-${FORMAT_VERSION}.${format}`);
  const cached = await stat(path).catch(() => undefined);
  if (cached !== undefined) return { path, format, bytes: cached.size };

  const staging = await mkdtemp(join(cache, ".making-"));
  try {
    const made = join(staging, "image");
    await (format === "ext4"
      ? makeExt4(source, made, digest, options.signal)
      : makeErofs(source, made, options.signal));
    if ((await digestDirectory(source)).sha256 !== digest.sha256) {
      throw new AgentError(
        "INVALID_STATE",
        `${directory} changed while its image was made; try again when it rests`,
      );
    }
    // In one go: whoever finds the name finds a whole image.
    await rename(made, path);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  return { path, format, bytes: (await stat(path)).size };
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
  await writeFile(image, "", { mode: 0o600 });
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
