import { AgentError } from "../../src/common/errors.ts";
import { binding, type NativePoll } from "./binding.ts";

/** One for all sockets: it is full only while a callback runs. A frame of the bridge is at most 64 KiB outwards. */
const slab = Buffer.allocUnsafeSlow(256 * 1024);
/** Chunks below this are copied together into one send; a larger one is worth a call of its own. */
const smallChunkBytes = 16 * 1024;
const eagain = 11;

export interface SocketOptions {
  /** Queued bytes from which write() returns false; default 256 KiB. */
  readonly highWaterMark?: number;
}

/**
 * A connected stream socket (Unix or vsock) for control traffic: many small messages, little latency. Reading
 * starts with resume(). It owns its descriptor until close() or release().
 */
export class Socket {
  /**
   * Bytes arrived. The buffer is valid during the call only: copy what is to be kept.
   */
  onData: ((bytes: Buffer) => void) | undefined;
  /** The peer shut its write side down; writing may go on. */
  onEnd: (() => void) | undefined;
  /** Reading or writing failed (`code`: ECONNRESET, EPIPE ...); nothing more comes. The owner closes. */
  onError: ((error: NodeJS.ErrnoException) => void) | undefined;
  /** The queue is empty again, after write() returned false. */
  onDrain: (() => void) | undefined;

  #fd: number;
  #poll: NativePoll;
  #watched = 0;
  #reading = false;
  #failed = false;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #bytesSent = 0;
  #headOffset = 0;
  #flushScheduled = false;
  #full = false;
  #endWhenFlushed = false;
  #writeEnded = false;
  #flushWaiters: PromiseWithResolvers<void>[] = [];
  readonly #highWaterMark: number;

  constructor(fd: number, options: SocketOptions = {}) {
    this.#fd = fd;
    this.#highWaterMark = options.highWaterMark ?? 256 * 1024;
    binding.setNonBlocking(fd, true);
    this.#poll = new binding.Poll(fd, (events) => this.#onEvents(events));
  }

  /** -1 once closed or released. */
  get fd(): number {
    return this.#fd;
  }

  /** Bytes that the kernel has taken so far; it stays after an error, so the owner knows what was not sent. */
  get bytesSent(): number {
    return this.#bytesSent;
  }

  /** Bytes accepted by write() that the kernel has not taken yet. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  resume(): void {
    this.#setReading(true);
  }

  pause(): void {
    this.#setReading(false);
  }

  /** Whether the open socket keeps the event loop alive while it waits; default true. */
  setKeepsLoopAlive(on: boolean): void {
    if (this.#fd >= 0) this.#poll.setKeepsLoopAlive(on);
  }

  /**
   * Queues bytes and sends everything written in this tick together at its end. The bytes must not be changed
   * until they are sent.
   *
   * @returns false at or above the high-water mark: wait for onDrain (bytes are accepted all the same).
   * @throws AgentError TRANSPORT_CLOSED after close(), release(), end() or an error.
   */
  write(bytes: Uint8Array): boolean {
    if (this.#fd < 0 || this.#failed || this.#writeEnded || this.#endWhenFlushed) {
      throw new AgentError("TRANSPORT_CLOSED", "write to a socket that is closed");
    }
    if (bytes.length > 0) {
      this.#queue.push(bytes);
      this.#queuedBytes += bytes.length;
      this.#scheduleFlush();
    }
    if (this.#queuedBytes < this.#highWaterMark) return true;
    this.#full = true;
    return false;
  }

  /** Writes and resolves when the kernel has taken everything queued so far. @throws as write, onError's error. */
  async writeAll(bytes: Uint8Array): Promise<void> {
    this.write(bytes);
    await this.flushed();
  }

  /** Resolves when nothing is queued. @throws AgentError TRANSPORT_CLOSED; onError's error. */
  flushed(): Promise<void> {
    if (this.#queuedBytes === 0) return Promise.resolve();
    const waiter = Promise.withResolvers<void>();
    this.#flushWaiters.push(waiter);
    return waiter.promise;
  }

  /** Shuts the write side down once everything queued is sent. */
  end(): void {
    if (this.#fd < 0 || this.#failed) return;
    this.#endWhenFlushed = true;
    if (this.#queuedBytes === 0) this.#shutdownWrite();
  }

  /** Half-closes at once; closing a half that the peer closed already is no error. */
  shutdown(how: "read" | "write"): void {
    if (this.#fd < 0) return;
    if (how === "write") this.#writeEnded = true;
    binding.shutdown(this.#fd, how);
  }

  /** Closes at once; what is queued is lost. Closing twice is no error. No callback comes after it. */
  close(): void {
    if (this.#fd < 0) return;
    binding.closeFd(this.#detach());
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Gives the descriptor away: the caller owns it. @throws AgentError TRANSPORT_CLOSED, INVALID_STATE */
  release(): number {
    if (this.#fd < 0) throw new AgentError("TRANSPORT_CLOSED", "release of a socket that is closed");
    if (this.#queuedBytes > 0) {
      throw new AgentError("INVALID_STATE", `release of a socket with ${this.#queuedBytes} unsent bytes`);
    }
    return this.#detach();
  }

  #detach(): number {
    const fd = this.#fd;
    this.#poll.close();
    this.#fd = -1;
    this.#dropQueue(new AgentError("TRANSPORT_CLOSED", "the socket was closed"));
    return fd;
  }

  #dropQueue(error: Error): void {
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#headOffset = 0;
    const waiters = this.#flushWaiters;
    this.#flushWaiters = [];
    for (const waiter of waiters) waiter.reject(error);
  }

  #setReading(on: boolean): void {
    this.#reading = on;
    this.#watch();
  }

  #watch(waitForRoom = (this.#watched & binding.WRITABLE) !== 0): void {
    if (this.#fd < 0) return;
    const wanted =
      (this.#reading && !this.#failed ? binding.READABLE : 0) |
      (waitForRoom && !this.#failed ? binding.WRITABLE : 0);
    if (wanted === this.#watched) return;
    this.#watched = wanted;
    if (wanted === 0) this.#poll.stop();
    else this.#poll.start(wanted);
  }

  #onEvents(events: number): void {
    if (events < 0) {
      this.#onErrorState(events);
      return;
    }
    if ((events & binding.WRITABLE) !== 0) this.#flush();
    // The owner may have closed it meanwhile.
    if ((events & binding.READABLE) !== 0 && this.#reading && this.#fd >= 0) this.#read();
  }

  /** libuv reports any error of the socket as EBADF and stops watching; the socket knows which it is. */
  #onErrorState(events: number): void {
    this.#watched = 0;
    try {
      binding.finishConnect(this.#fd);
    } catch (error) {
      this.#fail(error as NodeJS.ErrnoException);
      return;
    }
    this.#fail(binding.systemError("poll", -events));
  }

  /** What arrived before the peer closed its end is still to be read. */
  #readRest(): void {
    while (this.#reading && this.#fd >= 0) {
      const got = binding.receive(this.#fd, slab, 0, slab.length);
      if (got <= 0) return;
      this.onData?.(slab.subarray(0, got));
    }
  }

  #read(): void {
    const got = binding.receive(this.#fd, slab, 0, slab.length);
    if (got > 0) {
      this.onData?.(slab.subarray(0, got));
    } else if (got === 0) {
      this.#setReading(false);
      this.onEnd?.();
    } else if (got !== -eagain) {
      this.#fail(binding.systemError("recv", -got));
    }
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled || (this.#watched & binding.WRITABLE) !== 0) return;
    this.#flushScheduled = true;
    process.nextTick(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#fd >= 0 && this.#queuedBytes > 0) {
      const sent = this.#sendSome();
      if (sent === -eagain) {
        this.#watch(true);
        return;
      }
      if (sent < 0) {
        this.#fail(binding.systemError("send", -sent));
        return;
      }
      this.#consume(sent);
    }
    if (this.#fd < 0 || this.#failed) return;
    this.#watch(false);
    this.#onFlushed();
  }

  #sendSome(): number {
    const head = this.#queue[0];
    if (head === undefined) return 0;
    if (this.#queue.length === 1 || head.length - this.#headOffset >= smallChunkBytes) {
      return binding.send(this.#fd, head, this.#headOffset, head.length - this.#headOffset);
    }
    let length = 0;
    let offset = this.#headOffset;
    for (const chunk of this.#queue) {
      const rest = chunk.length - offset;
      if (length + rest > slab.length) break;
      slab.set(offset === 0 ? chunk : chunk.subarray(offset), length);
      length += rest;
      offset = 0;
    }
    return binding.send(this.#fd, slab, 0, length);
  }

  #consume(sent: number): void {
    this.#queuedBytes -= sent;
    this.#bytesSent += sent;
    let left = sent + this.#headOffset;
    let done = 0;
    for (const chunk of this.#queue) {
      if (left < chunk.length) break;
      left -= chunk.length;
      done++;
    }
    if (done > 0) this.#queue.splice(0, done);
    this.#headOffset = left;
  }

  #onFlushed(): void {
    const waiters = this.#flushWaiters;
    this.#flushWaiters = [];
    for (const waiter of waiters) waiter.resolve();
    if (this.#endWhenFlushed && !this.#writeEnded) this.#shutdownWrite();
    if (this.#full) {
      this.#full = false;
      this.onDrain?.();
    }
  }

  #shutdownWrite(): void {
    this.shutdown("write");
  }

  #fail(error: NodeJS.ErrnoException): void {
    if (this.#failed) return;
    this.#readRest();
    if (this.#fd < 0) return;
    this.#failed = true;
    this.#watch(false);
    this.#dropQueue(error);
    this.onError?.(error);
  }
}
