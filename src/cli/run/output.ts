import { constants, createWriteStream, fstatSync, openSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { isatty } from "node:tty";

/** The same file through a file description of our own, or undefined: no /proc, or not ours to open. */
function reopen(fd: number, flags: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, flags | constants.O_NOCTTY);
  } catch {
    // The inherited one does as well, only that its modes are shared with the caller's other programs.
    return undefined;
  }
}

/**
 * A stream on file descriptor 1 or 2 that never blocks this process, whether it is read or not: signals must
 * still be heard. process.stdout blocks on some kinds of files; on others it makes non-blocking what we share with
 * the caller's other programs.
 */
function openOutput(fd: 1 | 2): Writable {
  const stats = fstatSync(fd);
  if (stats.isFIFO()) {
    const own = reopen(fd, constants.O_WRONLY | constants.O_NONBLOCK);
    return new Socket({ fd: own ?? fd, readable: false, writable: true });
  }
  if (stats.isSocket()) return new Socket({ fd, readable: false, writable: true });
  // A regular file is never opened anew: the offset in it is shared with the caller.
  const own = isatty(fd) ? reopen(fd, constants.O_WRONLY) : undefined;
  return createWriteStream("", { fd: own ?? fd, autoClose: false });
}

/** Standard input, without making a shared pipe non-blocking. */
export function openInput(): Readable {
  const own = fstatSync(0).isFIFO() ? reopen(0, constants.O_RDONLY | constants.O_NONBLOCK) : undefined;
  return own === undefined ? process.stdin : new Socket({ fd: own, readable: true, writable: false });
}

/**
 * Copies a stream of the container to ours, with back-pressure, until its end.
 * @param onLost called when it cannot be written any more: EPIPE when our reader has closed its end (head(1) has
 *   seen enough), ENOSPC and the like. What comes then is discarded.
 * @returns settles when all is written or lost; never rejects.
 */
export function copyOutput(
  source: Readable,
  fd: 1 | 2,
  onLost: (cause: NodeJS.ErrnoException) => void,
): Promise<void> {
  const target = openOutput(fd);
  const { promise, resolve } = Promise.withResolvers<void>();
  target.once("error", (cause) => {
    target.on("error", () => undefined);
    source.destroy();
    resolve();
    onLost(cause);
  });
  source.on("data", (chunk: Buffer) => {
    if (!target.write(chunk)) source.pause();
  });
  target.on("drain", () => source.resume());
  // Not "end", since a connection that is reset only closes.
  source.once("close", () => {
    // Not end(): on a socket it would shut down what the caller's other programs still use.
    if (target.destroyed) resolve();
    else target.write("", () => resolve());
  });
  return promise;
}
