import { AgentError } from "../../../common/errors.ts";

/**
 * Frames between the host and the guest's forwarder; native/forwarder/protocol.h describes them and their rules.
 * u16 type, u16 payload length, u32 subject (stream or port), little endian, then the payload.
 */
export const FrameType = {
  hello: 1,
  listen: 2,
  unlisten: 3,
  ready: 4,
  open: 5,
  data: 6,
  fin: 7,
  reset: 8,
  credit: 9,
  ping: 10,
  refused: 11,
  bye: 12,
} as const;

export const PROTOCOL_VERSION = 3;
/** A stream's number is its slot, of this many, and above it how often the slot was used before. */
export const STREAM_SLOTS = 4096;
export const HEADER_BYTES = 2 + 2 + 4;
/** A frame with its header is at most 32 KiB. */
export const MAX_PAYLOAD_BYTES = 32 * 1024 - HEADER_BYTES;
/** No window grows beyond this. */
export const MAX_WINDOW_BYTES = 0x7fff_ffff;

const NUMBER_BYTES = 4;

/** A frame whose payload is absent or one u32. */
export function encodeFrame(type: number, subject: number, number?: number): Buffer {
  const frame = encodeHeader(type, subject, number === undefined ? 0 : NUMBER_BYTES, NUMBER_BYTES);
  if (number === undefined) return frame.subarray(0, HEADER_BYTES);
  frame.writeUInt32LE(number, HEADER_BYTES);
  return frame;
}

/** The header of a frame with `payloadBytes`, and room for as many more bytes as `spare` says. */
export function encodeHeader(type: number, subject: number, payloadBytes: number, spare = 0): Buffer {
  const header = Buffer.allocUnsafe(HEADER_BYTES + spare);
  header.writeUInt16LE(type, 0);
  header.writeUInt16LE(payloadBytes, 2);
  header.writeUInt32LE(subject, 4);
  return header;
}

export interface FrameHandler {
  /** A part of a DATA frame's payload, as it arrives. The bytes are the caller's chunk, not a copy. */
  onData(stream: number, part: Buffer): void;
  /** Any other frame; `number` is its u32, if it has one. */
  onFrame(type: number, subject: number, number: number | undefined): void;
}

/** Cuts a byte stream into frames, without copying payloads. */
export class FrameParser {
  readonly #handler: FrameHandler;
  /** The header, and with a control frame its number, as far as it has come. */
  readonly #head = Buffer.alloc(HEADER_BYTES + NUMBER_BYTES);
  #headBytes = 0;
  /** Bytes of the current DATA frame's payload that are still to come. */
  #dataLeft = 0;

  constructor(handler: FrameHandler) {
    this.#handler = handler;
  }

  /** @throws AgentError INVALID_FRAME; the stream of bytes is lost then. */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#dataLeft > 0) {
        const part = chunk.subarray(at, at + this.#dataLeft);
        at += part.length;
        this.#dataLeft -= part.length;
        this.#handler.onData(this.#head.readUInt32LE(4), part);
        continue;
      }
      at += this.#collect(chunk, at);
    }
  }

  /** Takes what belongs to the header (and number) and handles the frame when that is whole. */
  #collect(chunk: Buffer, at: number): number {
    const wanted = this.#headBytes < HEADER_BYTES ? HEADER_BYTES : HEADER_BYTES + NUMBER_BYTES;
    const taken = chunk.copy(this.#head, this.#headBytes, at, at + wanted - this.#headBytes);
    this.#headBytes += taken;
    if (this.#headBytes < wanted) return taken;

    const type = this.#head.readUInt16LE(0);
    const length = this.#head.readUInt16LE(2);
    if (type === FrameType.data) {
      if (length === 0 || length > MAX_PAYLOAD_BYTES) throw invalid(type, length);
      this.#headBytes = 0;
      this.#dataLeft = length;
    } else if (this.#headBytes === HEADER_BYTES && length === NUMBER_BYTES) {
      // The number comes next.
    } else {
      if (length !== 0 && length !== NUMBER_BYTES) throw invalid(type, length);
      const number = length === 0 ? undefined : this.#head.readUInt32LE(HEADER_BYTES);
      this.#headBytes = 0;
      this.#handler.onFrame(type, this.#head.readUInt32LE(4), number);
    }
    return taken;
  }
}

function invalid(type: number, length: number): AgentError {
  return new AgentError(
    "INVALID_FRAME",
    `the guest's forwarder sent a frame of type ${type} with ${length} bytes`,
  );
}
