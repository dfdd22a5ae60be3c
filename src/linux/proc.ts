import { readFileSync } from "node:fs";
import { isSystemError } from "./system-error.ts";

/**
 * What /proc tells about one process. Reads are synchronous: proc files are made by the kernel on the spot, and a
 * promise per file costs more than the read.
 */

/** The command line, one string per argument; empty for a zombie or kernel thread; undefined when it is gone. */
export function readCommandLine(pid: number): string[] | undefined {
  const text = readProcFile(pid, "cmdline");
  if (text === undefined) return undefined;
  if (text === "") return [];
  // Every argument ends with a NUL; a program that rewrote its command line may lack the last one.
  return (text.endsWith("\0") ? text.slice(0, -1) : text).split("\0");
}

export interface ProcessStatus {
  /** R, S, D, T, t, Z, X, I: proc(5). */
  readonly state: string;
  readonly parentPid: number;
  /** Clock ticks since boot; with the pid it names one process for good. */
  readonly startTime: number;
}

/** @returns undefined when there is no such process (any more). */
export function readProcessStatus(pid: number): ProcessStatus | undefined {
  const text = readProcFile(pid, "stat");
  return text === undefined ? undefined : parseProcessStatus(text);
}

/** Parses /proc/PID/stat. The second field, the command in parentheses, may itself hold blanks and parentheses. */
export function parseProcessStatus(text: string): ProcessStatus | undefined {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, parent] = fields;
  // Fields are counted from 1 in proc(5); the slice starts at the third, starttime is the 22nd.
  const startTime = fields[22 - 3];
  if (state === undefined || parent === undefined || startTime === undefined) return undefined;
  return { state, parentPid: Number(parent), startTime: Number(startTime) };
}

/** Exited, but not yet waited for. A process that is gone is no zombie. */
export function isZombie(pid: number): boolean {
  const state = readProcessStatus(pid)?.state;
  return state === "Z" || state === "X";
}

function readProcFile(pid: number, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch (error) {
    // ESRCH: it went away between open and read.
    if (isSystemError(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}
