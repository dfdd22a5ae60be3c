import { closeSync, constants, fstatSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { basename } from "node:path";
import { binding } from "../../../native/hvsock/binding.ts";
import { waitUntilReady } from "../../../native/hvsock/deadline.ts";
import { AgentError } from "../../common/errors.ts";
import { isSystemError } from "../../common/system-error.ts";
import { stateDirectoryOf } from "./state-directory.ts";

/**
 * The FIFO on which the init of a created container waits for `start`. Doing here what `start` does saves a call
 * of the runtime, a fifth of a short container's life. runc's init writes a byte that `start` reads
 * (libcontainer/container_linux.go); crun's reads a byte that `start` writes (libcrun/container.c).
 */
export interface ExecFifo {
  readonly path: string;
  readonly startReads: boolean;
}

const startReads = new Map([
  ["runc", true],
  ["crun", false],
]);

/** init takes well under a millisecond; a runtime that means something else by the FIFO starts it itself. */
const initAnswersWithinMs = 2000;

/** @returns undefined where the runtime is not known to have such a FIFO. */
export function findExecFifo(
  command: string,
  stateRoot: string | undefined,
  id: string,
): ExecFifo | undefined {
  const stateDirectory = stateDirectoryOf(command, stateRoot, id);
  const reads = startReads.get(basename(command));
  if (reads === undefined || stateDirectory === undefined) return undefined;
  return { path: `${stateDirectory}/exec.fifo`, startReads: reads };
}

/**
 * Lets init run the user's program, and removes the FIFO, whose absence tells `state` that it runs.
 *
 * @param initExited fires when init exits.
 * @returns false when nothing was done: the runtime's own `start` is to do it, or to say why not.
 */
export async function releaseInit(fifo: ExecFifo, initExited: AbortSignal): Promise<boolean> {
  const fd = openFifo(fifo);
  if (fd === undefined) return false;
  try {
    if (!fifo.startReads) {
      // As crun does: first gone, so that "created" never shows for a program that runs.
      unlinkSync(fifo.path);
      writeSync(fd, "\0");
      return true;
    }
    if (!(await readByte(fd, initExited))) return false;
    unlinkSync(fifo.path);
    return true;
  } finally {
    closeSync(fd);
  }
}

async function readByte(fd: number, initExited: AbortSignal): Promise<boolean> {
  const attempt = () => (tryRead(fd) ? true : undefined);
  try {
    const options = { timeoutMs: initAnswersWithinMs, signal: initExited };
    return await waitUntilReady(fd, binding.READABLE, attempt, "wait for the container's init", options);
  } catch (error) {
    // Of a short program, the exit can be seen before the byte.
    if (error instanceof AgentError) return tryRead(fd);
    throw error;
  }
}

function openFifo({ path, startReads }: ExecFifo): number | undefined {
  const direction = startReads ? constants.O_RDONLY : constants.O_WRONLY;
  let fd: number;
  try {
    fd = openSync(path, direction | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    // ENXIO: init is not at the FIFO yet, the runtime would wait for it.
    if (isSystemError(error, "ENOENT", "ELOOP", "ENXIO")) return undefined;
    throw error;
  }
  if (fstatSync(fd).isFIFO()) return fd;
  closeSync(fd);
  return undefined;
}

function tryRead(fd: number): boolean {
  try {
    return readSync(fd, Buffer.alloc(1)) === 1;
  } catch (error) {
    if (isSystemError(error, "EAGAIN")) return false;
    throw error;
  }
}
