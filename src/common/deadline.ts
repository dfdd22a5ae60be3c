import { AgentError } from "./errors.ts";
import { LONGEST_TIMER_MS } from "./longest-timer.ts";

/**
 * Waits for a promise no longer than the caller wants. What the promise stands for goes on.
 * @param what for errors: "waiting for process 12"
 * @param options.timeoutMs milliseconds; default for ever
 * @throws AgentError TIMEOUT, ABORTED; or what the promise rejects with
 */
export async function abortable<T>(
  promise: Promise<T>,
  what: string,
  options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
): Promise<T> {
  const { timeoutMs, signal } = options;
  if (timeoutMs === undefined && signal === undefined) return await promise;
  const stop = Promise.withResolvers<never>();
  const onAbort = () => {
    stop.reject(new AgentError("ABORTED", `${what} was aborted`, { cause: signal?.reason }));
  };
  if (signal?.aborted) onAbort();
  signal?.addEventListener("abort", onAbort, { once: true });
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(
          () => {
            stop.reject(new AgentError("TIMEOUT", `${what} took longer than ${timeoutMs} ms`));
          },
          Math.min(timeoutMs, LONGEST_TIMER_MS),
        );
  try {
    return await Promise.race([promise, stop.promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/**
 * Runs something that takes a signal, with a time limit on top of the caller's own signal.
 * @param timeoutMs milliseconds
 * @throws AgentError TIMEOUT when the limit was the reason; else what `run` throws
 */
export async function withTimeLimit<T>(
  what: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  run: (options: { signal: AbortSignal }) => Promise<T>,
): Promise<T> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), Math.min(timeoutMs, LONGEST_TIMER_MS));
  try {
    return await run({
      signal: signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]),
    });
  } catch (cause) {
    if (!limit.signal.aborted || signal?.aborted === true) throw cause;
    throw new AgentError("TIMEOUT", `${what} took longer than ${timeoutMs} ms`, { cause });
  } finally {
    clearTimeout(timer);
  }
}
