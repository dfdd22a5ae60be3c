/**
 * Standard output and standard error, for all verbs: every write is waited for, and one that fails is told. Nothing
 * here blocks this process, which must hear signals whether or not it is read.
 */

import { constants, createWriteStream, fstatSync, openSync } from "node:fs";
import { Socket } from "node:net";
import type { Writable } from "node:stream";
import { isatty } from "node:tty";
import { within } from "../common/deadline.ts";
import { printableLines } from "../common/printable.ts";

/** How long the last words on standard error may wait for a reader. */
const LAST_WORDS_MS = 2_000;
/** Lost output; see also exit-status.ts. As for a program that SIGPIPE ended, and as for any that could not write. */
const READER_GONE = 141;
const WRITE_FAILED = 1;

/** Standard output cannot be written any more. */
export class OutputError extends Error {
  readonly code: string;

  constructor(cause: NodeJS.ErrnoException) {
    super(`standard output could not be written: ${cause.message}`, { cause });
    this.code = cause.code ?? "";
  }

  /** A reader that has seen enough is no error, and nobody wants to be told of it. */
  get isReaderGone(): boolean {
    return this.code === "EPIPE";
  }

  get status(): number {
    return this.isReaderGone ? READER_GONE : WRITE_FAILED;
  }
}

class Output {
  readonly #fd: 1 | 2;
  #stream: Writable | undefined;
  #failure: OutputError | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(fd: 1 | 2) {
    this.#fd = fd;
  }

  /** Settles when all is written. @throws OutputError */
  write(data: string | Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#last = promise;
    if (this.#failure !== undefined) {
      reject(this.#failure);
      return promise;
    }
    this.#open().write(data, (cause) => {
      if (cause === null || cause === undefined) {
        resolve();
        return;
      }
      this.#failure ??= new OutputError(cause);
      reject(this.#failure);
    });
    return promise;
  }

  /** Settles when what was written has left, or never will; never rejects. */
  async flushed(): Promise<void> {
    await within(
      this.#last.catch(() => undefined),
      LAST_WORDS_MS,
    );
  }

  #open(): Writable {
    if (this.#stream !== undefined) return this.#stream;
    const stream = openOutput(this.#fd);
    // It is told to whoever writes.
    stream.on("error", () => undefined);
    this.#stream = stream;
    return stream;
  }
}

const outputs = { 1: new Output(1), 2: new Output(2) };
/** Where the cursor is behind: taken away before anything else is written. */
let statusLine: string | undefined;

/** Writes to standard output. @throws OutputError, which main.ts turns into an exit status */
export async function print(data: string | Uint8Array): Promise<void> {
  if (statusLine !== undefined) {
    setStatusLine(undefined);
    await outputs[2].flushed();
  }
  await outputs[1].write(data);
}

/** Shows a line on the terminal that standard error is, in place of the one before; undefined takes it away. */
export function setStatusLine(text: string | undefined): void {
  if (text === statusLine) return;
  statusLine = text;
  // Written over, not cleared first, so that it does not flicker.
  outputs[2].write(`\r${text ?? ""}\x1b[K`).catch(() => undefined);
}

/** Writes to standard error as it is. When nobody can be told, there is nobody to tell that, either. */
export function printError(data: string | Uint8Array): void {
  setStatusLine(undefined);
  outputs[2].write(data).catch(() => undefined);
}

/** The same for what a command writes, which may be much: settles when it can go on. */
export async function passError(data: Uint8Array): Promise<void> {
  await outputs[2].write(data).catch(() => undefined);
}

/** Tells the user something. */
export function say(text: string): void {
  printError(`lcow: ${printableLines(text)}\n`);
}

/** Standard error has been written; before the exit. */
export async function errorsPrinted(): Promise<void> {
  await outputs[2].flushed();
}

/** The same file through a file description of our own, or undefined: no /proc, or not ours to open. */
export function reopen(fd: number, flags: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, flags | constants.O_NOCTTY);
  } catch {
    // The inherited one does as well, only that its modes are shared with the caller's other programs.
    return undefined;
  }
}

/**
 * A stream on file descriptor 1 or 2 that never blocks this process. process.stdout blocks on some kinds of files; on
 * others it makes non-blocking what we share with the caller's other programs.
 */
export function openOutput(fd: 1 | 2): Writable {
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
