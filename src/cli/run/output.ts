import { constants, fstatSync } from "node:fs";
import { Socket } from "node:net";
import type { Readable } from "node:stream";
import { openOutput, reopen } from "../output.ts";

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
