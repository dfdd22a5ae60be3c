import { readdirSync, readFileSync } from "node:fs";
import { isSystemError } from "../common/system-error.ts";
import { readProcessStatus } from "./proc.ts";

/**
 * Pids of the children that were given to this process as their subreaper, zombies among them; children that it
 * started itself may be in the list or not.
 *
 * The kernel gives an orphan to the first living thread of the subreaper (find_new_reaper in kernel/exit.c), which
 * is the main thread; so its list is the only one to read.
 */
export function listChildPids(): number[] {
  let text: string;
  try {
    text = readFileSync(`/proc/self/task/${process.pid}/children`, "latin1");
  } catch (error) {
    // A kernel without CONFIG_PROC_CHILDREN.
    if (isSystemError(error, "ENOENT")) return scanForChildren();
    throw error;
  }
  return text === "" ? [] : text.trimEnd().split(" ").map(Number);
}

/** The same by reading every process of the machine. */
export function scanForChildren(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => readProcessStatus(pid)?.parentPid === process.pid);
}
