import { binding } from "./binding.ts";

/** The signals that Node has no names for: numbers of SIGRTMIN to SIGRTMAX, less those that the C library keeps. */
export function realTimeSignals(): number[] {
  const { SIGRTMIN, SIGRTMAX } = binding;
  return Array.from({ length: SIGRTMAX - SIGRTMIN + 1 }, (_, index) => SIGRTMIN + index);
}

/**
 * Catches a signal by its number, real-time ones included, in place of its default action, and lets it through where
 * it was blocked. Several that come while the event loop is busy may be told one by one. Does not keep the loop alive.
 * @returns stops catching it
 * @throws Error with code EINVAL for one that cannot be caught (SIGKILL, SIGSTOP)
 */
export function onSignal(number: number, callback: () => void): () => void {
  const watch = new binding.Signal(number, callback);
  return () => watch.close();
}
