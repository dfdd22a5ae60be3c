/**
 * The bytes of one bridge connection, as frames. Incoming ones are bounded before anything is allocated for them;
 * of outgoing ones it knows which the kernel has taken, so that a reconnect sends each exactly once.
 */
import { AgentError } from "../../common/errors.ts";
import {
  type Frame,
  FrameDecoder,
  MAXIMUM_SIZE_FROM_HOST,
  type OversizedFrame,
} from "../../protocol/frame.ts";

import type { OpenWait } from "./session.ts";

/** Frames kept for a reconnect are weeded out in lots of this many. */
const FORGET_AT = 64;

export interface ByteStreamHandlers {
  /** Must use the chunk up before it returns. */
  onData(chunk: Buffer): void;
  /** All that was written is with the kernel, after write() returned false. */
  onDrain(): void;
  /** Once, last. */
  onClose(error: Error | undefined): void;
}

/** A connected stream socket, or standard input and output. */
export interface ByteStream {
  /** Begins reading. */
  start(handlers: ByteStreamHandlers): void;
  /** Stops reading until resume(). */
  pause(): void;
  resume(): void;
  /** @returns false when too much waits for the host to read: the bytes are taken all the same. */
  write(bytes: Buffer): boolean;
  /** Bytes handed to the kernel so far. */
  readonly bytesSent: number;
  close(): void;
}

/** A reply is for the host that asked; a notification is for whichever host there is. */
export type Outgoing =
  | { readonly kind: "reply"; readonly frame: Buffer; readonly wait: OpenWait | undefined }
  | { readonly kind: "notification"; readonly frame: Buffer; readonly containerId: string };

export class BridgeConnection {
  readonly #stream: ByteStream;
  /** Frames not yet known to be with the kernel whole, each with the stream position at which it ends. */
  readonly #unsent: { readonly outgoing: Outgoing; readonly end: number }[] = [];
  #position = 0;
  #closed = false;

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  /**
   * Reads frames until the connection ends.
   * @param onOversized told of a request that is too large to be read; the next is read all the same
   * @returns why it ended, for the log; undefined when the host closed it between frames.
   */
  serve(
    onFrame: (frame: Frame) => void,
    onOversized: (frame: OversizedFrame) => void,
  ): Promise<Error | undefined> {
    const decoder = new FrameDecoder({ maximumSize: MAXIMUM_SIZE_FROM_HOST, onOversized });
    return new Promise((resolve) => {
      this.#stream.start({
        onData: (chunk) => {
          try {
            decoder.push(chunk, onFrame);
          } catch (error) {
            // Nothing after a bad header can be trusted to be a frame.
            this.close();
            resolve(error as Error);
          }
        },
        onDrain: () => this.#stream.resume(),
        onClose: (error) => {
          this.#closed = true;
          const cut =
            decoder.pending > 0
              ? new AgentError("INVALID_FRAME", `the host left after ${decoder.pending} bytes of a frame`)
              : undefined;
          resolve(error ?? cut);
        },
      });
    });
  }

  /** Sends a frame; after the connection has ended it is kept for takeUnsent(). */
  send(outgoing: Outgoing): void {
    const { frame } = outgoing;
    this.#position += frame.length;
    this.#unsent.push({ outgoing, end: this.#position });
    if (this.#unsent.length > FORGET_AT) this.#forgetSent();
    // Who does not read its replies is asked for no more of them.
    if (!this.#closed && !this.#stream.write(frame)) this.#stream.pause();
  }

  /** The frames that the host cannot have got whole, for the next connection. */
  takeUnsent(): Outgoing[] {
    this.#forgetSent();
    return this.#unsent.splice(0).map(({ outgoing }) => outgoing);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#stream.close();
  }

  #forgetSent(): void {
    const sent = this.#stream.bytesSent;
    let count = 0;
    while ((this.#unsent[count]?.end ?? Number.POSITIVE_INFINITY) <= sent) count++;
    if (count > 0) this.#unsent.splice(0, count);
  }
}
