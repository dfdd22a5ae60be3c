import { binding } from "./binding.ts";
import { type WaitOptions, waitUntilReady } from "./deadline.ts";
import { type Listener, listen } from "./listener.ts";

export interface ReceivedFd {
  /** Close-on-exec; the receiver owns it. */
  readonly fd: number;
  /** The message's bytes: runc sends the terminal's name. */
  readonly name: string;
}

/**
 * Accepts one Unix connection and receives one descriptor over it, as runc's `--console-socket` sends the
 * master of a container's terminal (https://github.com/opencontainers/runc/blob/main/docs/terminals.md).
 * A path is bound before this returns its promise, and removed when that settles; a Listener stays open.
 *
 * @throws AgentError TIMEOUT, ABORTED; Error with code EPROTO when the message is not one descriptor.
 */
export async function receiveFd(from: string | Listener, options: WaitOptions = {}): Promise<ReceivedFd> {
  const deadline = options.timeoutMs === undefined ? undefined : performance.now() + options.timeoutMs;
  const listener = typeof from === "string" ? listen({ path: from }, { backlog: 1, mode: 0o600 }) : from;
  try {
    const socket = await listener.acceptFd(options);
    try {
      const left = deadline === undefined ? undefined : Math.max(0, deadline - performance.now());
      return await receiveFdOver(socket, { timeoutMs: left, signal: options.signal });
    } finally {
      binding.closeFd(socket);
    }
  } finally {
    if (typeof from === "string") listener.close();
  }
}

/** Receives one descriptor over a connected Unix socket. Errors as receiveFd. */
export async function receiveFdOver(socketFd: number, options: WaitOptions = {}): Promise<ReceivedFd> {
  const attempt = () => binding.receiveFd(socketFd) ?? undefined;
  return (
    attempt() ?? (await waitUntilReady(socketFd, binding.READABLE, attempt, "receive a descriptor", options))
  );
}

/** Sends one descriptor with a name over a connected Unix socket; the caller keeps its own copy. */
export function sendFd(socketFd: number, fd: number, name: string): void {
  binding.sendFd(socketFd, fd, name);
}
