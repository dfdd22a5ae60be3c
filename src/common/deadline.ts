/** Waits that end: the only place that races a promise with a timer. What the promise stands for goes on. */
import { AgentError } from "./errors.ts";
import { underWay } from "./under-way.ts";

/** setTimeout() takes no more milliseconds: above, it fires at once. Waits that are longer end after these 24 days. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

export interface DeadlineOptions {
  /** Milliseconds; default for ever. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What the wait fails with when time is over; default a TIMEOUT that names the wait. */
  readonly late?: () => Error;
}

/**
 * Waits for a promise no longer than the caller wants.
 * @param what for errors: "waiting for process 12"
 * @throws AgentError TIMEOUT (or what `late` makes), ABORTED; or what the promise rejects with
 */
export async function withDeadline<T>(
  promise: Promise<T>,
  what: string,
  { timeoutMs, signal, late }: DeadlineOptions,
): Promise<T> {
  if (timeoutMs === undefined && signal === undefined) return await underWay(what, promise);
  const stop = Promise.withResolvers<never>();
  const onAbort = () => {
    stop.reject(new AgentError("ABORTED", `${what} was aborted`, { cause: signal?.reason }));
  };
  if (signal?.aborted) onAbort();
  signal?.addEventListener("abort", onAbort, { once: true });
  const onLate = () => stop.reject(late?.() ?? tooLong(what, timeoutMs));
  const timer = timeoutMs === undefined ? undefined : startTimer(timeoutMs, onLate);
  try {
    return await underWay(what, Promise.race([promise, stop.promise]));
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/**
 * Waits for a promise, but no longer than so many milliseconds.
 * @returns what it was fulfilled with by then, or undefined. @throws what it is rejected with by then
 */
export async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  const stop = Promise.withResolvers<undefined>();
  const timer = startTimer(timeoutMs, () => stop.resolve(undefined));
  try {
    return await Promise.race([promise, stop.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Whether a promise is fulfilled within so many milliseconds. @throws what it is rejected with by then */
export async function settlesWithin(promise: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  return (
    (await within(
      promise.then(() => true),
      timeoutMs,
    )) === true
  );
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
  const timer = startTimer(timeoutMs, () => limit.abort());
  try {
    const either = signal === undefined ? limit.signal : AbortSignal.any([signal, limit.signal]);
    return await underWay(what, run({ signal: either }));
  } catch (cause) {
    if (!limit.signal.aborted || signal?.aborted === true) throw cause;
    throw tooLong(what, timeoutMs, cause);
  } finally {
    clearTimeout(timer);
  }
}

function startTimer(timeoutMs: number, onLate: () => void): NodeJS.Timeout {
  return setTimeout(onLate, Math.min(timeoutMs, LONGEST_TIMER_MS));
}

function tooLong(what: string, timeoutMs: number | undefined, cause?: unknown): AgentError {
  const options = cause === undefined ? undefined : { cause };
  return new AgentError("TIMEOUT", `${what} took longer than ${timeoutMs} ms`, options);
}
