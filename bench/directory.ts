import { mkdtempSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";

/** <linux/magic.h> */
const TMPFS_MAGIC = 0x01021994;

/**
 * A directory for sockets, bundles and state, in memory as /run is in a utility VM: on a disk, the removal of a file
 * just written can take milliseconds, which would be the disk's and not the agent's.
 */
export function makeDirectory(): string {
  const inMemory = statfsSync("/dev/shm").type === TMPFS_MAGIC;
  return mkdtempSync(`${inMemory ? "/dev/shm" : tmpdir()}/gcs-bench-`);
}
