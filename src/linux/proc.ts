import { readFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { isSystemError } from "../common/system-error.ts";

/**
 * What /proc tells about one process. Reads are synchronous where the kernel makes the file on the spot and bounds it:
 * a promise per file costs more than the read.
 */

/** A command line is the process's own memory: with PR_SET_MM_MAP as much of it as the process likes. */
const LONGEST_COMMAND_LINE = 4096;

/**
 * At most the first 4 KiB of the command line, one string per argument; empty for a zombie or kernel thread; undefined
 * when it is gone. Not on this thread: the kernel may have to wait for the process's memory.
 */
export async function readCommandLine(pid: number): Promise<string[] | undefined> {
  const text = await readStart(`/proc/${pid}/cmdline`, LONGEST_COMMAND_LINE);
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

/** @returns undefined when the process is gone. */
async function readStart(path: string, bytes: number): Promise<string | undefined> {
  try {
    await using file = await open(path, "r");
    const buffer = Buffer.allocUnsafe(bytes);
    const { bytesRead } = await file.read(buffer, 0, bytes, 0);
    return buffer.toString("utf8", 0, bytesRead);
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
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
