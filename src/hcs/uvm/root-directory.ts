/** Directories of this machine as containers' roots, and how much is written above them. */
import { realpath, stat } from "node:fs/promises";
import { totalmem } from "node:os";
import { AgentError } from "../../common/errors.ts";

/** Above a root that its container cannot write to: what is made there is mount points and a working directory. */
export const MOUNT_POINT_BYTES = 16 * 2 ** 20;
/** What one container may write above its root without a disk of its own, as a part of the memory there is. */
const SCRATCH_SHARE = 1 / 4;
const PAGE = 4096;

/** Bytes of memory that one container's writable layer may take. */
export function largestScratch(): number {
  // 0 or more than there is where nothing limits this process.
  const limit = process.constrainedMemory() || Number.POSITIVE_INFINITY;
  return Math.floor((Math.min(totalmem(), limit) * SCRATCH_SHARE) / PAGE) * PAGE;
}

/** @returns its absolute path without links. @throws AgentError INVALID_ARGUMENT */
export async function resolveDirectory(directory: string): Promise<string> {
  const path = await realpath(directory).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT" || cause.code === "ENOTDIR") return undefined;
    throw new AgentError("INVALID_ARGUMENT", `root ${directory} cannot be read`, { cause });
  });
  if (path !== undefined && (await stat(path)).isDirectory()) return path;
  throw new AgentError("INVALID_ARGUMENT", `root ${directory} is no directory`);
}
