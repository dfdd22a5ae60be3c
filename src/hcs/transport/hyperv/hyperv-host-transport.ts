import { encodeHypervAddress, serviceIdOfPort } from "../../../../native/hvsock/hyperv-address.ts";
import { AgentError } from "../../../common/errors.ts";
import { checkPort } from "../../../common/port.ts";
import { AcceptQueue } from "../accept-queue.ts";
import type { AcceptOptions, HostListener, HostListenOptions, HostTransport } from "../host-transport.ts";
import type { NativeSockets } from "./native-sockets.ts";
import { Reactor } from "./reactor.ts";
import { SocketStream } from "./socket-stream.ts";

/**
 * AF_HYPERV on a Windows host: the guest dials the service id that stands for the port. Not yet run on Windows.
 */
export class HypervHostTransport implements HostTransport {
  readonly name: string;
  readonly #vmId: string;
  readonly #sockets: NativeSockets;
  readonly #reactor: Reactor;
  readonly #listeners = new Map<number, { handle: number; queue: AcceptQueue }>();
  readonly #streams = new Set<SocketStream>();
  #closed: AgentError | undefined;

  /** @param vmId GUID of the guest's VM. @param sockets Winsock, but for tests */
  constructor(vmId: string, sockets: NativeSockets) {
    this.name = `hyperv:${vmId}`;
    this.#vmId = vmId;
    this.#sockets = sockets;
    this.#reactor = new Reactor(sockets);
  }

  async listen(port: number, options: HostListenOptions = {}): Promise<HostListener> {
    if (this.#closed !== undefined) throw this.#closed;
    checkPort(port);
    if (this.#listeners.has(port)) {
      throw new AgentError("INVALID_ARGUMENT", `port ${port} of ${this.name} is listened on already`);
    }
    const address = encodeHypervAddress({ vmId: this.#vmId, serviceId: serviceIdOfPort(port) });
    const handle = this.#sockets.listen(address);
    const queue = new AcceptQueue(`port ${port} of ${this.name}`, options);
    this.#listeners.set(port, { handle, queue });
    this.#reactor.add(handle, {
      wantsRead: () => true,
      wantsWrite: () => false,
      onReady: () => this.#accept(handle, port, queue),
    });
    return {
      port,
      accept: (options?: AcceptOptions) => queue.accept(options),
      close: async () => {
        if (this.#listeners.get(port)?.queue === queue) this.#unlisten(port);
      },
    };
  }

  async close(reason?: AgentError): Promise<void> {
    this.#closed ??= reason ?? new AgentError("TRANSPORT_CLOSED", `${this.name} is closed`);
    for (const stream of this.#streams) stream.destroy(this.#closed);
    for (const port of [...this.#listeners.keys()]) this.#unlisten(port, this.#closed);
  }

  #accept(handle: number, port: number, queue: AcceptQueue): void {
    try {
      const accepted = this.#sockets.accept(handle);
      if (accepted === undefined) return;
      const stream = new SocketStream(this.#sockets, this.#reactor, accepted);
      this.#streams.add(stream);
      stream.once("close", () => this.#streams.delete(stream));
      queue.push(stream);
    } catch (cause) {
      const message = `port ${port} of ${this.name} takes no dials any more`;
      this.#unlisten(port, new AgentError("TRANSPORT_CLOSED", message, { cause }));
    }
  }

  #unlisten(port: number, reason?: AgentError): void {
    const listener = this.#listeners.get(port);
    if (listener === undefined) return;
    this.#listeners.delete(port);
    listener.queue.close(reason);
    this.#reactor.remove(listener.handle);
  }
}
