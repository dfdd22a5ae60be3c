import { AgentError } from "../../src/common/errors.ts";
import { binding } from "./binding.ts";

export interface WaitOptions {
  /** Milliseconds until the wait fails with TIMEOUT; absent: no deadline. */
  readonly timeoutMs?: number | undefined;
  /** Ends the wait with ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits until `attempt` gives something other than undefined, trying again whenever the descriptor becomes
 * ready. `what` names the wait in errors.
 *
 * @throws AgentError TIMEOUT, ABORTED; whatever `attempt` throws.
 */
export function waitUntilReady<Result>(
  fd: number,
  events: number,
  attempt: () => Result | undefined,
  what: string,
  options: WaitOptions,
): Promise<Result> {
  const { promise, resolve, reject } = Promise.withResolvers<Result>();
  const { timeoutMs, signal } = options;
  let timer: NodeJS.Timeout | undefined;
  const onAbort = () => finish(() => reject(aborted(what, signal)));
  const finish = (settle: () => void) => {
    poll.close();
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
    settle();
  };
  const poll = new binding.Poll(fd, (happened) => {
    try {
      // Also when the descriptor has an error (which libuv reports as EBADF): the attempt tells which.
      const result = attempt();
      if (result !== undefined) finish(() => resolve(result));
      else if (happened < 0) throw binding.systemError("poll", -happened);
    } catch (error) {
      finish(() => reject(error));
    }
  });
  if (signal?.aborted) {
    onAbort();
    return promise;
  }
  signal?.addEventListener("abort", onAbort, { once: true });
  if (timeoutMs !== undefined) {
    const late = () => reject(new AgentError("TIMEOUT", `${what} took longer than ${timeoutMs} ms`));
    timer = setTimeout(() => finish(late), timeoutMs);
  }
  try {
    poll.start(events);
  } catch (error) {
    finish(() => reject(error));
  }
  return promise;
}

export function aborted(what: string, signal: AbortSignal | undefined): AgentError {
  return new AgentError("ABORTED", `${what} was given up`, { cause: signal?.reason });
}
