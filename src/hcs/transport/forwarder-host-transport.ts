import type { Duplex } from "node:stream";
import { AgentError } from "../../common/errors.ts";
import { checkPort } from "../../common/port.ts";
import { AcceptQueue } from "./accept-queue.ts";
import { Mux } from "./forwarder/mux.ts";
import type { AcceptOptions, HostListener, HostListenOptions, HostTransport } from "./host-transport.ts";
import { LoopHolder } from "./loop-holder.ts";

export interface ForwarderOptions {
  /** Tells why the channel was lost (the VM died, and how); its answer replaces the channel's own error. */
  readonly explainLoss?: (reason: AgentError) => Promise<AgentError>;
  /** Milliseconds between questions for a sign of life; after six without an answer the guest is lost. Default 5000. */
  readonly heartbeatMs?: number;
}

/** After the guest has closed its port: what it sent before is on its way still. */
const CLOSED_PORT_GRACE_MS = 500;

/**
 * vsock for hosts without /dev/vhost-vsock: a forwarder in the guest listens there and carries every stream
 * over one channel. Ports that are listened on before attach() are there from the guest's first moment;
 * listen() then settles at once, since the guest does not run yet.
 */
export class ForwarderHostTransport implements HostTransport {
  readonly name = "forwarder";
  /** Settles when the forwarder in the guest runs and listens on all ports known up front. */
  readonly connected: Promise<void>;
  readonly #connected = Promise.withResolvers<void>();
  readonly #explainLoss: (reason: AgentError) => Promise<AgentError>;
  readonly #heartbeatMs: number | undefined;
  readonly #queues = new Map<number, AcceptQueue>();
  readonly #holder = new LoopHolder();
  #mux: Mux | undefined;
  #closed: AgentError | undefined;

  constructor(options: ForwarderOptions = {}) {
    this.#explainLoss = options.explainLoss ?? ((reason) => Promise.resolve(reason));
    this.#heartbeatMs = options.heartbeatMs;
    this.connected = this.#connected.promise;
    // Whoever waits for it sees the failure; so do all streams and accepts.
    this.connected.catch(() => {});
  }

  /**
   * Starts to speak to the guest, or as soon as it opens its end of the channel.
   * @param channel a connected byte stream to the virtio-serial port; owned by the transport from here.
   */
  attach(channel: Duplex): void {
    this.#holder.add(channel);
    const greeted = Promise.withResolvers<void>();
    const mux = new Mux(
      channel,
      {
        onHello: greeted.resolve,
        onOpen: (port, stream) => this.#queues.get(port)?.push(stream) !== undefined,
        onRefused: (port, reason) => this.#queues.get(port)?.refuse(reason),
        onLost: (reason) => {
          this.#explainLoss(reason)
            .catch((cause: unknown) => new AgentError("TRANSPORT_CLOSED", reason.message, { cause }))
            .then((explained) => {
              mux.failStreams(explained);
              this.#end(explained);
            }, this.#connected.reject);
        },
      },
      { intervalMs: this.#heartbeatMs },
    );
    this.#mux = mux;
    const asked = [...this.#queues.keys()].map((port) => mux.listen(port));
    mux.ready();
    Promise.all([greeted.promise, ...asked]).then(
      () => this.#connected.resolve(),
      (cause: AgentError) => this.close(cause),
    );
  }

  /** The guest is halted by its host, and so is silent; or runs again. */
  suspendHeartbeat(isSuspended: boolean): void {
    this.#mux?.suspendHeartbeat(isSuspended);
  }

  /** The guest has closed its end of the port, which does not show on the channel. */
  notePortClosed(): void {
    const reason = new AgentError("TRANSPORT_CLOSED", "the forwarder in the guest has ended");
    setTimeout(() => this.#mux?.end(reason), CLOSED_PORT_GRACE_MS).unref();
  }

  async listen(port: number, options: HostListenOptions = {}): Promise<HostListener> {
    if (this.#closed !== undefined) throw this.#closed;
    checkPort(port);
    if (this.#queues.has(port)) {
      throw new AgentError("INVALID_ARGUMENT", `port ${port} of ${this.name} is listened on already`);
    }
    const queue = new AcceptQueue(`port ${port} of ${this.name}`, options);
    this.#queues.set(port, queue);
    try {
      await this.#mux?.listen(port);
    } catch (cause) {
      this.#queues.delete(port);
      throw cause;
    }
    return {
      port,
      accept: (options?: AcceptOptions) => queue.accept(options),
      close: () => this.#unlisten(port, queue),
    };
  }

  setKeepsLoopAlive(on: boolean): void {
    this.#holder.setKeepsLoopAlive(on);
  }

  async close(reason?: AgentError): Promise<void> {
    const error = reason ?? new AgentError("TRANSPORT_CLOSED", `${this.name} is closed`);
    this.#mux?.close(error);
    this.#end(error);
  }

  async #unlisten(port: number, queue: AcceptQueue): Promise<void> {
    queue.close();
    if (this.#queues.get(port) !== queue) return;
    if (this.#closed === undefined) await this.#mux?.unlisten(port);
    this.#queues.delete(port);
  }

  #end(error: AgentError): void {
    this.#closed ??= error;
    for (const queue of this.#queues.values()) queue.close(error);
    this.#queues.clear();
    this.#connected.reject(error);
  }
}
