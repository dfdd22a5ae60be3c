/**
 * The socket calls that a host transport needs, so that one transport serves Winsock and, in tests, any other socket
 * library. Handles are numbers; no call blocks but poll(), which is asynchronous.
 */
export interface NativeSockets {
  /** A socket that listens on the address, non-blocking. @throws AgentError SYSTEM_CALL_FAILED */
  listen(address: Uint8Array): number;
  /** @returns a non-blocking connection, or undefined when none waits */
  accept(listener: number): number | undefined;
  /** @returns what has come; "end" at its end; undefined when nothing has come yet */
  receive(handle: number): Buffer | "end" | undefined;
  /** @returns how many bytes were taken; 0 when there is no room yet */
  send(handle: number, data: Uint8Array): number;
  /** Half-closes: the peer reads its end of file. */
  shutdownWrite(handle: number): void;
  close(handle: number): void;
  /** Settles when one is ready. Without a limit of time. @returns the ready ones */
  poll(interests: readonly Interest[]): Promise<Ready[]>;
  /** Two connected handles: what is sent on the second makes the first readable. */
  pair(): [number, number];
}

export interface Interest {
  readonly handle: number;
  readonly read: boolean;
  readonly write: boolean;
}

export interface Ready {
  readonly handle: number;
  readonly read: boolean;
  readonly write: boolean;
}
