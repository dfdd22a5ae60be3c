import type { Duplex } from "node:stream";
import type { AgentError } from "../../common/errors.ts";

/**
 * The host's side of the wire: the guest dials, the host listens. One transport serves one utility VM.
 *
 * Every accepted stream is a Duplex with allowHalfOpen: `end()` half-closes the write side, "end" comes when
 * the guest has half-closed its own, `destroy()` closes both (a reset where the carrier knows resets). Whoever
 * accepts a stream owns it, listens to its "error" event included.
 */
export interface HostTransport {
  /** For messages and logs: "unix:/run/x/uvm", "vsock:3", "forwarder". */
  readonly name: string;

  /**
   * Listens on a port of the host. Once this settles, a dial from the guest succeeds.
   * @param port vsock port number, 0 to 0xffffffff.
   * @throws AgentError TRANSPORT_CLOSED; INVALID_ARGUMENT for a bad port or one already listened on;
   *   SYSTEM_CALL_FAILED
   */
  listen(port: number, options?: HostListenOptions): Promise<HostListener>;

  /** Whether its listeners and streams keep this program running; default true. */
  setKeepsLoopAlive?(on: boolean): void;

  /**
   * Closes all listeners and streams; pending accepts reject, open streams emit "error". Safe more than once.
   * @param reason why, when the guest is gone; default TRANSPORT_CLOSED.
   */
  close(reason?: AgentError): Promise<void>;
}

export interface HostListenOptions {
  /** As many streams that nobody has accepted yet are kept, each with what its guest has sent; default 128. */
  readonly backlog?: number;
}

export interface HostListener {
  readonly port: number;

  /**
   * The next stream that the guest has dialled, in order of arrival.
   * @param options.timeoutMs milliseconds to wait; default for ever (until the transport closes).
   * @throws AgentError TIMEOUT, ABORTED, TRANSPORT_CLOSED (or the reason that the transport was closed with)
   */
  accept(options?: AcceptOptions): Promise<Duplex>;

  /** Stops listening; pending accepts reject, streams nobody accepted close, accepted ones live on. */
  close(): Promise<void>;
}

export interface AcceptOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}
