/**
 * Streams of one process over one connection: 1 byte channel, 4 bytes length (big endian), data. An empty frame on
 * a stream's channel is its end. "note" is text for people, about what goes on.
 */
export const channels = { stdin: 0, stdout: 1, stderr: 2, exit: 3, note: 4 } as const;
const HEADER_BYTES = 5;
/** Larger data goes in several frames. */
const LARGEST = 1024 * 1024;

export function* encodeFrames(channel: number, data: Buffer): Generator<Buffer> {
  let offset = 0;
  do {
    const part = data.subarray(offset, offset + LARGEST);
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt8(channel, 0);
    header.writeUInt32BE(part.length, 1);
    yield Buffer.concat([header, part]);
    offset += part.length;
  } while (offset < data.length);
}

/** Puts frames together that arrive in pieces. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);

  /** @throws RangeError for a frame that nobody may send */
  *push(chunk: Buffer): Generator<{ channel: number; data: Buffer }> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= HEADER_BYTES) {
      const length = this.#rest.readUInt32BE(1);
      if (length > LARGEST) throw new RangeError(`a frame of ${length} bytes`);
      if (this.#rest.length < HEADER_BYTES + length) return;
      const channel = this.#rest.readUInt8(0);
      const data = this.#rest.subarray(HEADER_BYTES, HEADER_BYTES + length);
      this.#rest = this.#rest.subarray(HEADER_BYTES + length);
      yield { channel, data };
    }
  }
}
