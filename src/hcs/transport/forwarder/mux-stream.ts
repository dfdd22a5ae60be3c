import { constants } from "node:os";
import { Duplex } from "node:stream";
import { AgentError } from "../../../common/errors.ts";
import { ArrivedBytes, compact } from "./arrived-bytes.ts";

/** What a stream needs of the mux it belongs to. */
export interface StreamCarrier {
  /** The stream has bytes (or its end) to send: call its takeOutput() when the channel has room. */
  schedule(stream: MuxStream): void;
  sendCredit(stream: MuxStream, bytes: number): void;
  sendReset(stream: MuxStream, errno: number): void;
  /** The stream is over: forget its number. */
  forget(stream: MuxStream): void;
}

/** Bytes that a guest may send before they are read. */
export interface ReceiveWindows {
  /** Of a stream that nobody has begun to read. */
  readonly unread: number;
  readonly read: number;
}

/** One guest stream on the host's side. Both directions are bounded by windows: nothing here grows without end. */
export class MuxStream extends Duplex {
  readonly id: number;
  readonly #carrier: StreamCarrier;
  readonly #windows: ReceiveWindows;
  /** Bytes that arrived and nobody has read yet; bounded by the window. */
  readonly #arrived = new ArrivedBytes();
  #wanted = false;
  /** Bytes that the guest may still send. */
  #receiveWindow: number;
  #creditOwed = 0;
  #isBeingRead = false;
  /** Bytes that we may still send. */
  #sendWindow: number;
  #output: Buffer | undefined;
  #outputDone: ((error?: Error | null) => void) | undefined;
  #endOwed = false;
  #hostEnded = false;
  #guestEnded = false;
  #over = false;
  #failure: AgentError | undefined;

  /** @param sendWindow bytes the guest takes up front. */
  constructor(id: number, carrier: StreamCarrier, sendWindow: number, windows: ReceiveWindows) {
    // What is not asked for waits in #arrived, not in the stream's own list, where each byte can cost a buffer.
    super({ allowHalfOpen: true, emitClose: true, readableHighWaterMark: 1 });
    this.id = id;
    this.#carrier = carrier;
    this.#sendWindow = sendWindow;
    this.#windows = windows;
    this.#receiveWindow = windows.unread;
  }

  /** @throws AgentError INVALID_FRAME when the guest overruns the window. */
  takeData(part: Buffer): void {
    this.#receiveWindow -= part.length;
    if (this.#receiveWindow < 0 || this.#guestEnded) {
      throw new AgentError("INVALID_FRAME", `the guest's forwarder overran the window of stream ${this.id}`);
    }
    if (this.#wanted && this.#arrived.isEmpty) this.#pass(compact(part));
    else this.#arrived.push(part);
  }

  takeEnd(): void {
    this.#guestEnded = true;
    if (this.#wanted) this.#deliver();
    this.#finishIfOver();
  }

  takeReset(errno: number): void {
    const name = Object.entries(constants.errno).find(([, number]) => number === errno)?.[0];
    this.fail(
      new AgentError("TRANSPORT_CLOSED", `the guest has reset the stream (${name ?? `errno ${errno}`})`),
    );
  }

  takeCredit(bytes: number, limit: number): void {
    if (this.#sendWindow + bytes > limit) {
      throw new AgentError(
        "INVALID_FRAME",
        `the guest's forwarder widens stream ${this.id} by ${bytes} bytes, too far`,
      );
    }
    this.#sendWindow += bytes;
    if (this.#output !== undefined) this.#carrier.schedule(this);
  }

  /** Fails without a word to the guest, once what has arrived is read: the guest did send it. */
  fail(error: AgentError): void {
    this.#leave();
    this.#failure = error;
    this.#failIfDrained();
  }

  /** The next piece to send: bytes of one DATA frame, "end" for FIN, or nothing. */
  takeOutput(maxBytes: number): Buffer | "end" | undefined {
    if (this.#over) return undefined;
    if (this.#output === undefined) {
      if (!this.#endOwed) return undefined;
      this.#endOwed = false;
      this.#hostEnded = true;
      return "end";
    }
    const size = Math.min(this.#output.length, maxBytes, this.#sendWindow);
    if (size === 0) return undefined;
    this.#sendWindow -= size;
    const piece = this.#output.subarray(0, size);
    this.#output = size === this.#output.length ? undefined : this.#output.subarray(size);
    return piece;
  }

  /** After the piece of takeOutput() is on its way. */
  noteSent(): void {
    if (this.#output !== undefined) {
      this.#carrier.schedule(this);
      return;
    }
    const done = this.#outputDone;
    this.#outputDone = undefined;
    this.#finishIfOver();
    done?.();
  }

  override read(size?: number): unknown {
    const chunk = super.read(size);
    this.#failIfDrained();
    return chunk;
  }

  override _read(): void {
    this.#wanted = true;
    if (!this.#isBeingRead) {
      this.#isBeingRead = true;
      this.#grant(this.#windows.read - this.#windows.unread);
    }
    this.#deliver();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (chunk.length === 0) {
      done();
      return;
    }
    this.#output = chunk;
    this.#outputDone = done;
    this.#carrier.schedule(this);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#endOwed = true;
    this.#outputDone = done;
    this.#carrier.schedule(this);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.#over) {
      this.#leave();
      // 0 lets the guest still read what was sent, as close(2) does.
      this.#carrier.sendReset(this, error === null ? 0 : constants.errno.ECONNRESET);
    }
    this.#arrived.clear();
    this.#output = undefined;
    const pending = this.#outputDone;
    this.#outputDone = undefined;
    pending?.(error ?? new AgentError("TRANSPORT_CLOSED", "the stream was closed"));
    done(error);
  }

  #deliver(): void {
    while (this.#wanted) {
      const part = this.#arrived.shift();
      if (part === undefined) break;
      this.#pass(part);
    }
    if (this.#guestEnded && this.#arrived.isEmpty) {
      this.#wanted = false;
      this.push(null);
    } else if (this.#failure !== undefined) {
      this.#failIfDrained();
    }
  }

  #pass(part: Buffer): void {
    this.#creditOwed += part.length;
    this.#wanted = this.push(part);
    if (this.#creditOwed < this.#windows.read / 4) return;
    this.#grant(this.#creditOwed);
    this.#creditOwed = 0;
  }

  #grant(bytes: number): void {
    if (this.#guestEnded || this.#over) return;
    this.#receiveWindow += bytes;
    this.#carrier.sendCredit(this, bytes);
  }

  #failIfDrained(): void {
    if (this.#failure === undefined || !this.#arrived.isEmpty || this.readableLength > 0) return;
    const failure = this.#failure;
    // Not at once: the caller of read() gets its chunk first.
    process.nextTick(() => this.destroy(failure));
  }

  #finishIfOver(): void {
    if (this.#guestEnded && this.#hostEnded) this.#leave();
  }

  #leave(): void {
    if (this.#over) return;
    this.#over = true;
    this.#carrier.forget(this);
  }
}
