import { closeSync, openSync } from "node:fs";
import { Duplex } from "node:stream";
import type { Socket } from "../../../native/hvsock/index.ts";
import { AgentError } from "../../common/errors.ts";
import { checkPort } from "../../common/port.ts";
import { AcceptQueue } from "./accept-queue.ts";
import type { AcceptOptions, HostListener, HostListenOptions, HostTransport } from "./host-transport.ts";
import { LoopHolder } from "./loop-holder.ts";
import { VsockPorts } from "./vsock-ports.ts";

/** 0 to 2 have meanings of their own; vsock(7). */
const FIRST_GUEST_CID = 3;
const GUEST_CIDS = 0x7fff_0000;

/**
 * A context id for a new guest. The kernel keeps no list of those in use, so it is drawn from two thousand
 * million; QEMU fails to start on the improbable one that is taken.
 */
export async function freeGuestCid(): Promise<number> {
  // Opening the device also loads its module.
  closeSync(openSync("/dev/vhost-vsock", "r+"));
  return FIRST_GUEST_CID + Math.floor(Math.random() * GUEST_CIDS);
}

const sharedPorts = new VsockPorts();

/** AF_VSOCK on this host, for a guest with vhost-vsock. */
export class VsockHostTransport implements HostTransport {
  readonly name: string;
  readonly #guestCid: number;
  readonly #ports: VsockPorts;
  readonly #listeners = new Map<number, AcceptQueue>();
  readonly #streams = new Set<VsockStream>();
  readonly #holder = new LoopHolder();
  #closed: AgentError | undefined;

  /** @param guestCid the guest whose dials are wanted. @param ports for tests. */
  constructor(guestCid: number, ports = sharedPorts) {
    this.name = `vsock:${guestCid}`;
    this.#guestCid = guestCid;
    this.#ports = ports;
  }

  async listen(port: number, options: HostListenOptions = {}): Promise<HostListener> {
    if (this.#closed !== undefined) throw this.#closed;
    checkPort(port);
    if (this.#listeners.has(port)) {
      throw new AgentError("INVALID_ARGUMENT", `port ${port} of ${this.name} is listened on already`);
    }
    const queue = new AcceptQueue(`port ${port} of ${this.name}`, options);
    this.#ports.open(port, this.#guestCid, {
      onSocket: (socket) => {
        const stream = new VsockStream(socket);
        this.#streams.add(stream);
        this.#holder.add(stream);
        stream.once("close", () => {
          this.#streams.delete(stream);
          this.#holder.delete(stream);
        });
        queue.push(stream);
      },
      onLost: (error) => this.#unlisten(port, error),
    });
    this.#listeners.set(port, queue);
    return {
      port,
      accept: (options?: AcceptOptions) => queue.accept(options),
      close: async () => {
        if (this.#listeners.get(port) === queue) this.#unlisten(port);
      },
    };
  }

  /** The ports are not this guest's alone, and are closed once it has dialled them. */
  setKeepsLoopAlive(on: boolean): void {
    this.#holder.setKeepsLoopAlive(on);
  }

  async close(reason?: AgentError): Promise<void> {
    this.#closed ??= reason ?? new AgentError("TRANSPORT_CLOSED", `${this.name} is closed`);
    for (const stream of this.#streams) stream.destroy(this.#closed);
    for (const port of [...this.#listeners.keys()]) this.#unlisten(port, this.#closed);
  }

  #unlisten(port: number, reason?: AgentError): void {
    this.#listeners.get(port)?.close(reason);
    this.#listeners.delete(port);
    this.#ports.close(port, this.#guestCid);
  }
}

/** A native socket, which knows no streams, as a Duplex. */
export class VsockStream extends Duplex {
  readonly #socket: Socket;
  #waiting: ((error?: Error | null) => void) | undefined;

  constructor(socket: Socket) {
    // One piece at a time: a guest that sends single bytes must not fill a list with a buffer for each.
    super({ allowHalfOpen: true, readableHighWaterMark: 1 });
    this.#socket = socket;
    socket.onData = (bytes) => {
      // The buffer is the socket's own and valid during the call only.
      if (!this.push(Buffer.from(bytes))) socket.pause();
    };
    socket.onEnd = () => this.push(null);
    socket.onDrain = () => this.#settle();
    socket.onError = (cause) => {
      this.destroy(new AgentError("TRANSPORT_CLOSED", "the guest's vsock stream failed", { cause }));
    };
  }

  ref(): void {
    this.#socket.setKeepsLoopAlive(true);
  }

  unref(): void {
    this.#socket.setKeepsLoopAlive(false);
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#socket.write(chunk)) done();
    else this.#waiting = done;
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end();
    this.#socket.flushed().then(() => done(), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.close();
    this.#settle(error ?? new AgentError("TRANSPORT_CLOSED", "the stream was closed"));
    done(error);
  }

  #settle(error?: Error): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(error);
  }
}
