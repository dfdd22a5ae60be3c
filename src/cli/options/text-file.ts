import { closeSync, openSync, readSync } from "node:fs";
import { UsageError } from "../arguments.ts";

/**
 * The text of a file that an option names. A pipe is read to its end, as a shell's <(...) is one; what never ends is too
 * large.
 * @param options.largest bytes
 * @param options.what begins each error
 * @throws UsageError
 */
export function readText(path: string, options: { what: string; largest: number }): string {
  return decode(readBounded(path, options), options.what);
}

function readBounded(path: string, { what, largest }: { what: string; largest: number }): Buffer {
  const chunks: Buffer[] = [];
  let size = 0;
  let fd: number | undefined;
  try {
    fd = openSync(path, "r");
    for (;;) {
      const chunk = Buffer.alloc(64 * 1024);
      const length = readSync(fd, chunk);
      if (length === 0) return Buffer.concat(chunks);
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
