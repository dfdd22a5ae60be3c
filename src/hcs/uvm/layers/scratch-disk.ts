import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeTemporaryDirectory } from "../../../common/cache/temporary-directory.ts";
import { AgentError } from "../../../common/errors.ts";
import { MKE2FS, makeFilesystem } from "./make-filesystem.ts";

/** ext4 with a journal does not fit into less. */
const LEAST_BYTES = 8 * 2 ** 20;

export interface ScratchOptions {
  /** Length of the disk in bytes, a multiple of 4096; it takes as much of this machine's disk as is written. */
  readonly bytes: number;
  /** "raw" leaves it to the guest to format. Default ext4. */
  readonly format?: "ext4" | "raw";
  readonly signal?: AbortSignal;
}

/**
 * Makes a sparse writable disk image.
 * @param path must not exist yet.
 * @throws AgentError INVALID_ARGUMENT, SYSTEM_CALL_FAILED, and what makeFilesystem throws; then no file is left
 */
export async function createScratchDisk(path: string, options: ScratchOptions): Promise<void> {
  const { bytes } = options;
  if (!Number.isSafeInteger(bytes) || bytes < LEAST_BYTES || bytes % 4096 !== 0) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `a scratch disk of ${bytes} bytes; use at least ${LEAST_BYTES}, in multiples of 4096`,
    );
  }
  try {
    await using file = await open(path, "wx", 0o600);
    await file.truncate(bytes);
  } catch (cause) {
    throw new AgentError("SYSTEM_CALL_FAILED", `cannot make the scratch disk ${path}`, { cause });
  }
  if (options.format === "raw") return;
  // Lazy: the guest's kernel fills tables in later; a fresh sparse file reads as zeros anyway.
  const lazily = ["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"];
  try {
    await makeFilesystem(
      MKE2FS,
      [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-b",
        "4096",
        "-I",
        "256",
        "-m",
        "0",
        ...lazily,
        "-O",
        SCRATCH_FEATURES,
        path,
      ],
      options.signal,
    );
  } catch (cause) {
    await rm(path, { force: true });
    throw cause;
  }
}

export interface TemporaryDisk {
  readonly path: string;
  /** Removes the file; who has it open keeps the disk. */
  close(): Promise<void>;
}

/** A formatted scratch disk for as long as one guest uses it, in /var/tmp, which is no tmpfs. */
export async function makeScratchImage(bytes: number): Promise<TemporaryDisk> {
  const directory = makeTemporaryDirectory("lcow-scratch", "/var/tmp");
  const close = () => rm(directory, { recursive: true, force: true });
  const path = join(directory, "scratch.ext4");
  try {
    await createScratchDisk(path, { bytes });
  } catch (cause) {
    await close();
    throw cause;
  }
  return { path, close };
}

const SCRATCH_FEATURES =
  "none,has_journal,extent,huge_file,flex_bg,64bit,dir_index,filetype,sparse_super,large_file,dir_nlink,extra_isize,metadata_csum";
