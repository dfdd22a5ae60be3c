import { AgentError } from "../common/errors.ts";

/*
 * A frame is a header and a body. The header, little endian:
 *
 *   offset  bytes  field
 *   0       4      type: what the message is (messages.ts)
 *   4       4      size of the frame in bytes, header included
 *   8       8      id: a response repeats its request's; 0 in a notification
 *
 * The body is size - 16 bytes of UTF-8 JSON. Frames follow one another without padding.
 */
const TYPE_OFFSET = 0;
const SIZE_OFFSET = 4;
const ID_OFFSET = 8;
export const HEADER_SIZE = 16;

/** Largest frame a guest accepts, in bytes. Hosts set themselves no limit; a create request with a long spec is far below. */
export const MAXIMUM_SIZE_FROM_HOST = 4 * 1024 * 1024;
/** A larger one, up to this size, is refused and its body skipped; what is larger still can be no frame. Bytes. */
export const MAXIMUM_SKIPPED_SIZE = 64 * 1024 * 1024;
/** Largest frame a host accepts, in bytes: hcsshim drops the bridge connection on a larger one. */
export const MAXIMUM_SIZE_FROM_GUEST = 64 * 1024;

export interface Frame {
  /** Unsigned 32 bits. */
  readonly type: number;
  /** Unsigned 64 bits. */
  readonly id: bigint;
  /** UTF-8 JSON. From a FrameDecoder it may be a view of the chunk: read it before the callback returns. */
  readonly body: Buffer;
}

/** The header of a frame that is too large to be taken. */
export interface OversizedFrame {
  readonly type: number;
  readonly id: bigint;
  /** Bytes, header included. */
  readonly size: number;
}

/**
 * One frame, header and body in one allocation.
 *
 * @throws AgentError INVALID_FRAME when it would exceed what any side accepts.
 */
export function encodeFrame(type: number, id: bigint, body: string | Uint8Array): Buffer {
  const bodySize = typeof body === "string" ? Buffer.byteLength(body) : body.byteLength;
  const size = HEADER_SIZE + bodySize;
  if (size > MAXIMUM_SIZE_FROM_HOST) throw badSize(size, MAXIMUM_SIZE_FROM_HOST);
  const frame = Buffer.allocUnsafe(size);
  frame.writeUInt32LE(type, TYPE_OFFSET);
  frame.writeUInt32LE(size, SIZE_OFFSET);
  frame.writeBigUInt64LE(id, ID_OFFSET);
  if (typeof body === "string") frame.write(body, HEADER_SIZE, bodySize, "utf8");
  else frame.set(body, HEADER_SIZE);
  return frame;
}

/**
 * Cuts a byte stream into frames, however it is chunked. A frame that lies whole in a chunk is handed on as a
 * view of the chunk, without a copy; one that spans chunks is gathered in one buffer of its own.
 *
 * The decoder keeps no reference to a chunk once push has returned, so the caller may reuse the chunk's memory;
 * therefore `onFrame` must be done with `frame.body` when it returns (decode it there).
 */
export class FrameDecoder {
  readonly #maximumSize: number;
  readonly #onOversized: ((frame: OversizedFrame) => void) | undefined;
  /** Bytes to come of a frame that was refused. */
  #skip = 0;
  /** A header cut short by the end of a chunk. */
  readonly #header = Buffer.alloc(HEADER_SIZE);
  #headerLength = 0;
  /** The body of the frame whose header is complete, while it is being gathered. */
  #body: Buffer | undefined;
  #bodyLength = 0;
  #failure: AgentError | undefined;

  /**
   * @param options.maximumSize largest frame to accept, in bytes, header included.
   * @param options.onOversized told of a larger one, up to {@link MAXIMUM_SKIPPED_SIZE}, whose body is passed over
   *   without being kept; without it such a frame is an error.
   */
  constructor(options: { maximumSize: number; onOversized?: (frame: OversizedFrame) => void }) {
    this.#maximumSize = options.maximumSize;
    this.#onOversized = options.onOversized;
  }

  /** Bytes held or due of a frame that is not complete yet; above 0 at the end of the stream means it was cut short. */
  get pending(): number {
    return this.#headerLength + this.#bodyLength + this.#skip;
  }

  /**
   * Takes the next bytes of the stream and calls `onFrame` for each frame they complete, in order. What
   * `onFrame` throws passes through and loses the rest of the chunk: drop the connection then.
   *
   * @throws AgentError INVALID_FRAME on a size out of bounds, before memory is taken for it. The stream cannot be
   *   read any further: every later push throws the same.
   */
  push(chunk: Uint8Array, onFrame: (frame: Frame) => void): void {
    if (this.#failure) throw this.#failure;
    const bytes = Buffer.isBuffer(chunk)
      ? chunk
      : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = 0;
    while (at < bytes.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, bytes.length - at);
        this.#skip -= skipped;
        at += skipped;
      } else if (this.#body) {
        at += this.#gatherBody(this.#body, bytes, at, onFrame);
      } else if (this.#headerLength > 0 || bytes.length - at < HEADER_SIZE) {
        at += this.#gatherHeader(bytes, at, onFrame);
      } else {
        const size = this.#sizeIn(bytes, at);
        if (size > this.#maximumSize) {
          this.#startSkip(bytes, at, size);
          at += HEADER_SIZE;
        } else if (bytes.length - at < size) {
          bytes.copy(this.#header, 0, at, at + HEADER_SIZE);
          this.#startBody(size);
          at += HEADER_SIZE;
        } else {
          at += size;
          onFrame(frameOf(bytes, at - size, bytes.subarray(at - size + HEADER_SIZE, at)));
        }
      }
    }
  }

  #gatherHeader(bytes: Buffer, at: number, onFrame: (frame: Frame) => void): number {
    const taken = bytes.copy(this.#header, this.#headerLength, at);
    this.#headerLength += taken;
    if (this.#headerLength < HEADER_SIZE) return taken;
    const size = this.#sizeIn(this.#header, 0);
    if (size > this.#maximumSize) {
      this.#headerLength = 0;
      this.#startSkip(this.#header, 0, size);
    } else if (size > HEADER_SIZE) {
      this.#startBody(size);
    } else {
      this.#headerLength = 0;
      onFrame(frameOf(this.#header, 0, Buffer.alloc(0)));
    }
    return taken;
  }

  #startSkip(header: Buffer, at: number, size: number): void {
    this.#skip = size - HEADER_SIZE;
    const { type, id } = frameOf(header, at, Buffer.alloc(0));
    this.#onOversized?.({ type, id, size });
  }

  #startBody(size: number): void {
    this.#headerLength = HEADER_SIZE;
    this.#body = Buffer.allocUnsafe(size - HEADER_SIZE);
  }

  #gatherBody(body: Buffer, bytes: Buffer, at: number, onFrame: (frame: Frame) => void): number {
    const taken = bytes.copy(body, this.#bodyLength, at);
    this.#bodyLength += taken;
    if (this.#bodyLength === body.length) {
      this.#body = undefined;
      this.#bodyLength = 0;
      this.#headerLength = 0;
      onFrame(frameOf(this.#header, 0, body));
    }
    return taken;
  }

  #sizeIn(bytes: Buffer, at: number): number {
    const size = bytes.readUInt32LE(at + SIZE_OFFSET);
    const most = this.#onOversized ? Math.max(this.#maximumSize, MAXIMUM_SKIPPED_SIZE) : this.#maximumSize;
    if (size >= HEADER_SIZE && size <= most) return size;
    this.#failure = badSize(size, most);
    throw this.#failure;
  }
}

function frameOf(header: Buffer, at: number, body: Buffer): Frame {
  return { type: header.readUInt32LE(at + TYPE_OFFSET), id: header.readBigUInt64LE(at + ID_OFFSET), body };
}

function badSize(size: number, maximum: number): AgentError {
  return new AgentError(
    "INVALID_FRAME",
    `frame size ${size} is not between ${HEADER_SIZE} and ${maximum} bytes; the connection cannot be read further`,
  );
}
