/**
 * Making directories in a way that can be undone: only what was made here is ever removed. The calls themselves are
 * synchronous: in memory, as /run is, one takes a few microseconds, and a trip through the thread pool a hundred.
 */
import { mkdirSync, rmdirSync } from "node:fs";
import { dirname } from "node:path";
import { AgentError } from "../errors.ts";

export interface MadeDirectories {
  /** The innermost directory was not there before. */
  readonly madeLast: boolean;
  /** Removes, innermost first, those that were made here, up to the first that is not empty or is mounted on. */
  remove(): Promise<void>;
}

/** @throws AgentError SYSTEM_CALL_FAILED naming the path. */
export async function makeDirectories(path: string, mode: number): Promise<MadeDirectories> {
  let first: string | undefined;
  try {
    first = mkdirSync(path, { recursive: true, mode });
  } catch (cause) {
    throw new AgentError("SYSTEM_CALL_FAILED", `cannot make directory ${JSON.stringify(path)}`, { cause });
  }
  return {
    madeLast: first !== undefined,
    async remove() {
      if (first === undefined) return;
      for (let at = path; at.length >= first.length; at = dirname(at)) {
        if (!removeEmpty(at)) return;
      }
    },
  };
}

/** @returns false when the directory has to stay: something is in it, or mounted on it. */
function removeEmpty(path: string): boolean {
  try {
    rmdirSync(path);
    return true;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT") return true;
    if (code === "ENOTEMPTY" || code === "EEXIST" || code === "EBUSY") return false;
    throw new AgentError("SYSTEM_CALL_FAILED", `cannot remove directory ${JSON.stringify(path)}`, {
      cause: error,
    });
  }
}
