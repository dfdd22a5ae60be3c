/**
 * How the guest reaches the host: one connection per stdio stream and one for the bridge, always dialled by
 * the guest. A Connection owns one stream socket and so one fd; exactly one party closes it.
 */
export interface Transport {
  /** For messages and logs: "vsock", "unix:/run/x", "null". */
  readonly name: string;

  /**
   * Dials the host's port.
   *
   * @param port vsock port number, 0 to 0xffffffff.
   * @param options.timeoutMs deadline for the whole dial; default 30 000 ms. Refused dials are retried with
   *   back-off until it (a host may start to listen a moment later); `retry: false` fails on the first.
   * @param options.stream what the port is for ("stdout", "bridge"); named in the error.
   * @throws AgentError DIAL_FAILED, naming stream, port and cause; ABORTED when `signal` fires.
   */
  dial(port: number, options?: DialOptions): Promise<Connection>;
}

export interface DialOptions {
  readonly timeoutMs?: number;
  readonly stream?: string;
  readonly retry?: boolean;
  readonly signal?: AbortSignal;
}

export interface Connection {
  /** The socket's fd, for handing to a child or a relay; -1 once closed or released. */
  readonly fd: number;
  /** Gives the fd away: the caller owns it from here, this object forgets it. @throws AgentError TRANSPORT_CLOSED */
  release(): number;
  /** Half-closes. Closing a half that the peer has already closed is no error. */
  shutdown(how: "read" | "write"): void;
  /** Closes the fd. Closing twice is no error. */
  close(): void;
}

/** The ports named by an execute request; an absent one is a stream that nobody wants. */
export interface StdioPorts {
  readonly stdin?: number;
  readonly stdout?: number;
  readonly stderr?: number;
}
