import { setTimeout as sleep } from "node:timers/promises";
import { type Address, connectFd, describeAddress } from "../../native/hvsock/index.ts";
import { AgentError } from "../common/errors.ts";
import { underWay } from "../common/under-way.ts";
import { SocketConnection } from "./socket-connection.ts";
import type { Connection, DialOptions } from "./transport.ts";

export const defaultDialTimeoutMs = 30_000;
/** A host that listens a moment later is met soon; one that takes long is not pestered. */
const firstPauseMs = 1;
const longestPauseMs = 100;

/**
 * Failures that go away by themselves: nobody listens yet, the backlog is full, the host's side is being
 * rebuilt, the vsock transport has its own limit of 2 s on a connect. Everything else is final.
 */
const passing = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "ENOENT",
  "EAGAIN",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EINTR",
  // A vsock transport that is not loaded yet.
  "ENODEV",
]);

/** Dials with back-off until the deadline; see Transport.dial, whose errors these are. */
export async function dial(address: Address, port: number, options: DialOptions = {}): Promise<Connection> {
  const { stream } = options;
  const what = `${stream === undefined ? "dial" : `dial ${stream}`} on port ${port} (${describeAddress(address)})`;
  return await underWay(what, dialUntilDeadline(what, address, options));
}

async function dialUntilDeadline(what: string, address: Address, options: DialOptions): Promise<Connection> {
  const { timeoutMs = defaultDialTimeoutMs, retry = true, signal } = options;
  const deadline = performance.now() + timeoutMs;
  let pauseMs = firstPauseMs;
  for (;;) {
    if (signal?.aborted) throw new AgentError("ABORTED", `${what} was given up`, { cause: signal.reason });
    try {
      const left = Math.max(0, deadline - performance.now());
      return new SocketConnection(await connectFd(address, { timeoutMs: left, signal }));
    } catch (cause) {
      if (cause instanceof AgentError && cause.code === "ABORTED") {
        throw new AgentError("ABORTED", `${what} was given up`, { cause: signal?.reason });
      }
      const final = !retry || !passing.has((cause as NodeJS.ErrnoException).code ?? "");
      if (final || performance.now() + pauseMs >= deadline) {
        const how = final ? "failed" : `failed for ${timeoutMs} ms; is the host listening?`;
        throw new AgentError("DIAL_FAILED", `${what} ${how}`, { cause });
      }
    }
    // An abort is seen at the top of the loop.
    await sleep(pauseMs, undefined, signal ? { signal } : {}).catch(() => undefined);
    pauseMs = Math.min(pauseMs * 2, longestPauseMs);
  }
}
