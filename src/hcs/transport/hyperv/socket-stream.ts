import { Duplex } from "node:stream";
import type { NativeSockets, Ready } from "./native-sockets.ts";
import type { Reactor, Watcher } from "./reactor.ts";

/** A connection as a stream; see HostTransport for its half-closes. */
export class SocketStream extends Duplex implements Watcher {
  readonly #sockets: NativeSockets;
  readonly #reactor: Reactor;
  readonly #handle: number;
  #isReading = false;
  #pending: { data: Buffer; done(error?: Error | null): void } | undefined;

  constructor(sockets: NativeSockets, reactor: Reactor, handle: number) {
    super({ allowHalfOpen: true });
    this.#sockets = sockets;
    this.#reactor = reactor;
    this.#handle = handle;
    reactor.add(handle, this);
  }

  wantsRead(): boolean {
    return this.#isReading;
  }

  wantsWrite(): boolean {
    return this.#pending !== undefined;
  }

  onReady({ read, write }: Ready): void {
    try {
      if (write) this.#send();
      if (read && this.#isReading) this.#receive();
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  override _read(): void {
    this.#isReading = true;
    this.#reactor.changed();
  }

  override _write(data: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#pending = { data, done };
    try {
      this.#send();
    } catch (error) {
      this.#pending = undefined;
      done(error as Error);
    }
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#sockets.shutdownWrite(this.#handle);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#reactor.remove(this.#handle);
    this.#pending?.done(error ?? new Error("the connection was closed"));
    this.#pending = undefined;
    done(error);
  }

  #send(): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    while (pending.data.length > 0) {
      const sent = this.#sockets.send(this.#handle, pending.data);
      if (sent === 0) {
        this.#reactor.changed();
        return;
      }
      pending.data = pending.data.subarray(sent);
    }
    this.#pending = undefined;
    pending.done();
  }

  #receive(): void {
    const received = this.#sockets.receive(this.#handle);
    if (received === undefined) return;
    this.#isReading = false;
    this.push(received === "end" ? null : received);
  }
}
