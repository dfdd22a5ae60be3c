import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Duplex, Readable } from "node:stream";

/** Reads to the end without destroying the stream, as the readers of node:stream/consumers do. */
export async function readAll(stream: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  stream.on("data", (part: Buffer) => parts.push(part));
  await once(stream, "end");
  return Buffer.concat(parts);
}

/** @returns the SHA-256 of everything until the stream's end, and how much that was. */
export async function hashAll(stream: Readable): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  let bytes = 0;
  stream.on("data", (part: Buffer) => {
    hash.update(part);
    bytes += part.length;
  });
  await once(stream, "end");
  return { bytes, sha256: hash.digest("hex") };
}

/** Writes with back-pressure and half-closes. @returns the SHA-256 of what was written. */
export async function sendAll(stream: Duplex, chunks: Iterable<Buffer>): Promise<string> {
  const hash = createHash("sha256");
  for (const chunk of chunks) {
    hash.update(chunk);
    if (!stream.write(chunk)) await once(stream, "drain");
  }
  stream.end();
  return hash.digest("hex");
}

/** A generator of numbers below `limit` that a failed test can repeat: mulberry32. */
export function randomNumbers(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

/** About `total` bytes in chunks of 1 to `most`, from a block of noise. */
export function* randomChunks(
  next: (limit: number) => number,
  total: number,
  most: number,
): Generator<Buffer> {
  const noise = Buffer.from(Array.from({ length: 4096 }, () => next(256)));
  const block = Buffer.concat(Array.from({ length: Math.ceil(most / noise.length) + 1 }, () => noise));
  for (let left = total; left > 0; ) {
    const size = Math.min(left, 1 + next(most));
    const at = next(noise.length);
    yield block.subarray(at, at + size);
    left -= size;
  }
}
