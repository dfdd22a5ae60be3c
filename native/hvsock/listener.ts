import { lstatSync, unlinkSync } from "node:fs";
import { AgentError } from "../../src/common/errors.ts";
import { type Address, describeAddress, isUnixAddress, nativeAddress } from "./address.ts";
import { binding } from "./binding.ts";
import { type WaitOptions, waitUntilReady } from "./deadline.ts";
import { Socket } from "./socket.ts";

export interface ListenOptions {
  /** Connections the kernel keeps waiting; default 128. */
  readonly backlog?: number;
  /** Permission bits of a Unix path, whatever the umask; default: what the umask leaves. */
  readonly mode?: number;
}

/**
 * Binds and listens at once, so that a peer told of the address right after this call gets through.
 *
 * @throws Error with code EADDRINUSE, ENAMETOOLONG, EACCES, ENODEV ...
 */
export function listen(address: Address, options: ListenOptions = {}): Listener {
  const fd = binding.listen(...nativeAddress(address), options.backlog ?? 128, options.mode ?? -1);
  return new Listener(fd, address);
}

/** A listening stream socket. One accept at a time. */
export class Listener {
  /** With the port that the kernel chose where it was asked for any (0xffffffff). */
  readonly address: Address;
  #fd: number;
  #accepting: AbortController | undefined;
  readonly #inode: bigint | undefined;

  constructor(fd: number, address: Address) {
    this.#fd = fd;
    this.address = isUnixAddress(address) ? address : { ...(binding.localAddress(fd) as Address) };
    this.#inode = this.#pathInode();
  }

  get fd(): number {
    return this.#fd;
  }

  /**
   * Waits for the next connection.
   * @throws AgentError TIMEOUT, ABORTED (also when the listener is closed meanwhile), TRANSPORT_CLOSED,
   *   INVALID_STATE while another accept waits.
   */
  async accept(options: WaitOptions = {}): Promise<Socket> {
    return new Socket(await this.acceptFd(options));
  }

  /** As accept, but gives the descriptor (non-blocking, close-on-exec), which the caller owns. */
  async acceptFd(options: WaitOptions = {}): Promise<number> {
    const what = `accept on ${describeAddress(this.address)}`;
    if (this.#fd < 0) throw new AgentError("TRANSPORT_CLOSED", `${what}: the listener is closed`);
    if (this.#accepting) throw new AgentError("INVALID_STATE", `${what}: another accept is waiting`);
    const acceptNow = () => {
      const fd = binding.accept(this.#fd);
      return fd < 0 ? undefined : fd;
    };
    const waiting = acceptNow();
    if (waiting !== undefined) return waiting;
    this.#accepting = new AbortController();
    const closed = this.#accepting.signal;
    const signal = options.signal ? AbortSignal.any([options.signal, closed]) : closed;
    try {
      const wait = { timeoutMs: options.timeoutMs, signal };
      return await waitUntilReady(this.#fd, binding.READABLE, acceptNow, what, wait);
    } finally {
      this.#accepting = undefined;
    }
  }

  /** Stops listening, ends a waiting accept with ABORTED and removes the path if it is still ours. */
  close(): void {
    if (this.#fd < 0) return;
    this.#accepting?.abort(new AgentError("TRANSPORT_CLOSED", "the listener was closed"));
    const fd = this.#fd;
    this.#fd = -1;
    // Unlinked first: whoever finds the path afterwards must not find a dead socket.
    if (isUnixAddress(this.address) && this.#inode !== undefined && this.#inode === this.#pathInode()) {
      unlinkSync(this.address.path);
    }
    binding.closeFd(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #pathInode(): bigint | undefined {
    if (!isUnixAddress(this.address) || this.address.path.startsWith("\0")) return undefined;
    return lstatSync(this.address.path, { bigint: true, throwIfNoEntry: false })?.ino;
  }
}
