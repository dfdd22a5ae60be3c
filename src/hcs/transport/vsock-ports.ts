import { binding } from "../../../native/hvsock/binding.ts";
import { closeFd, type Listener, listen, Socket, vsockCid } from "../../../native/hvsock/index.ts";
import { AgentError } from "../../common/errors.ts";

/** Takes what one guest dials. */
export interface Route {
  onSocket(socket: Socket): void;
  /** The port takes no dials any more, though nobody closed it. */
  onLost(error: AgentError): void;
}

/**
 * vsock ports of this host. They are the same for all guests (hcsshim's ports are fixed), so the guests of one
 * process share the listener, and each gets what it dialled itself: a dial from any other context is closed.
 */
export class VsockPorts {
  readonly #ports = new Map<number, { listener: Listener; routes: Map<number, Route> }>();
  readonly #bind: (port: number) => Listener;
  readonly #peerCid: (fd: number) => number;

  /** The parameters are for tests. */
  constructor(bind = bindVsock, peerCid = vsockPeerCid) {
    this.#bind = bind;
    this.#peerCid = peerCid;
  }

  /** @throws AgentError SYSTEM_CALL_FAILED, also when another process listens on that port */
  open(port: number, guestCid: number, route: Route): void {
    const known = this.#ports.get(port);
    if (known !== undefined) {
      known.routes.set(guestCid, route);
      return;
    }
    let listener: Listener;
    try {
      listener = this.#bind(port);
    } catch (cause) {
      const message = `cannot listen on vsock port ${port}; if another process has it, use the forwarder`;
      throw new AgentError("SYSTEM_CALL_FAILED", message, { cause });
    }
    const routes = new Map([[guestCid, route]]);
    this.#ports.set(port, { listener, routes });
    void this.#accept(port, listener, routes);
  }

  close(port: number, guestCid: number): void {
    const known = this.#ports.get(port);
    if (known?.routes.delete(guestCid) !== true || known.routes.size > 0) return;
    this.#ports.delete(port);
    known.listener.close();
  }

  async #accept(port: number, listener: Listener, routes: ReadonlyMap<number, Route>): Promise<void> {
    try {
      for (;;) {
        const fd = await listener.acceptFd();
        const route = routes.get(this.#peerCid(fd));
        if (route === undefined) closeFd(fd);
        else route.onSocket(new Socket(fd));
      }
    } catch (cause) {
      // After close() nobody is left to tell.
      if (this.#ports.get(port)?.listener === listener) this.#ports.delete(port);
      listener.close();
      const error = new AgentError("TRANSPORT_CLOSED", `vsock port ${port} takes no dials any more`, {
        cause,
      });
      for (const route of routes.values()) route.onLost(error);
    }
  }
}

function bindVsock(port: number): Listener {
  return listen({ cid: vsockCid.any, port });
}

function vsockPeerCid(fd: number): number {
  const peer = binding.peerAddress(fd);
  return "cid" in peer ? peer.cid : vsockCid.any;
}
