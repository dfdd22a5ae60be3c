/**
 * Removes what a directory holds, by descriptor: never through a link, never into what is mounted, and never a
 * directory that took the place of the one that was opened. Whoever can write there decides what is found.
 */
import { readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { AgentError } from "../common/errors.ts";
import { isSystemError } from "../common/system-error.ts";
import type { DirectoryHandle } from "./directories.ts";

/** Others get a turn after this many milliseconds. */
const LONGEST_TURN_MS = 5;
/** Of PATH_MAX, 4096 bytes, each level takes two; deeper trees are made by going into them. */
const DEEPEST = 2048;

/**
 * @param directory itself stays
 * @throws AgentError SYSTEM_CALL_FAILED for the first that could not be removed; the rest is gone
 */
export async function emptyDirectory(directory: DirectoryHandle): Promise<void> {
  const failures: unknown[] = [];
  const pace = { since: performance.now() };
  await empty(directory, directory.mountId, 0, failures, pace);
  if (failures.length === 0) return;
  throw new AgentError(
    "SYSTEM_CALL_FAILED",
    `${failures.length} entries of a directory could not be removed`,
    {
      cause: failures[0],
    },
  );
}

async function empty(
  directory: DirectoryHandle,
  mountId: string,
  depth: number,
  failures: unknown[],
  pace: { since: number },
): Promise<void> {
  // Bytes: a container gives its files any name.
  for (const entry of readdirSync(directory.path(), { withFileTypes: true, encoding: "buffer" })) {
    const path = Buffer.concat([Buffer.from(`${directory.path()}/`), entry.name]);
    try {
      if (!entry.isDirectory()) unlinkSync(path);
      else if (depth < DEEPEST) {
        {
          using child = directory.openRaw(path);
          // What is mounted there is somebody else's; the directory under it stays, too, as rmdir(2) says.
          if (child.mountId === mountId) await empty(child, mountId, depth + 1, failures, pace);
        }
        rmdirSync(path);
      } else throw new Error(`deeper than ${DEEPEST} directories`);
    } catch (error) {
      if (!isSystemError(error, "ENOENT")) failures.push(error);
    }
    if (performance.now() - pace.since < LONGEST_TURN_MS) continue;
    await nextTurn();
    pace.since = performance.now();
  }
}
