import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { UsageError } from "../arguments.ts";
import { isReadable } from "./readable.ts";

export interface ReadOptions {
  /** Bytes. */
  readonly largest: number;
  /** Begins each error. */
  readonly what: string;
  /** Milliseconds for somebody to open a FIFO for writing, and for all of it to come. */
  readonly patience?: { readonly writerMs: number; readonly wholeMs: number };
}

/** Who writes may ask a person for a password first. */
const PATIENCE = { writerMs: 10_000, wholeMs: 60_000 };

/**
 * The text of a file that an option names. A pipe is read to its end, as a shell's <(...) is one, for a bounded time;
 * what never ends is too large.
 * @throws UsageError
 */
export function readText(path: string, options: ReadOptions): string {
  return decode(readBounded(path, options), options.what);
}

function readBounded(path: string, { what, largest, patience = PATIENCE }: ReadOptions): Buffer {
  const chunks: Buffer[] = [];
  let size = 0;
  let fd: number | undefined;
  try {
    // To open a FIFO otherwise waits for who writes.
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    const mayWait = !fstatSync(fd).isFile();
    const started = performance.now();
    let limit = patience.writerMs;
    for (;;) {
      const hasCome = !mayWait || isReadable(fd, Math.max(0, started + limit - performance.now()));
      const chunk = Buffer.alloc(64 * 1024);
      const length = readNow(fd, chunk);
      if (!hasCome && length === 0) throw late("nobody has opened it for writing", limit);
      if (length === 0) return Buffer.concat(chunks);
      if (!hasCome && length === undefined && limit === patience.wholeMs)
        throw late("it has not ended", limit);
      limit = patience.wholeMs;
      if (length === undefined) continue;
      size += length;
      if (size > largest) break;
      chunks.push(chunk.subarray(0, length));
    }
  } catch (cause) {
    throw new UsageError(`${what} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
  throw new UsageError(`${what} is larger than ${largest / 1024 ** 2} MiB`);
}

function late(what: string, ms: number): Error {
  return new Error(`${what} within ${ms / 1000} seconds`);
}

/** @returns how many bytes, 0 at the end, undefined where there is nothing now */
function readNow(fd: number, chunk: Buffer): number | undefined {
  try {
    return readSync(fd, chunk);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EAGAIN") return undefined;
    throw error;
  }
}

function decode(bytes: Buffer, what: string): string {
  let text: string;
  try {
    // Leaves the byte order mark out.
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UsageError(`${what} is no text: it has bytes that are no UTF-8`);
  }
  if (text.includes("\0")) throw new UsageError(`${what} is no text: it has a zero byte`);
  return text;
}
