import type { Relay, RelayResult } from "../../native/hvsock/index.ts";

/** How far one stream of a process has come, for who asks what hangs. */
export interface RelayProgress {
  readonly stream: "stdin" | "stdout" | "stderr";
  /** Bytes handed over, or discarded. */
  readonly bytes: number;
  /** All is handed over, or the host has closed. */
  readonly hasEnded: boolean;
}

/** Output after the exit ends when nobody has written for so long, though a background child holds it open. */
export const drainIdleMs = 500;
/** Output of a background child that never falls silent is listened to for so long after the exit. */
export const drainLimitMs = 5_000;
/** A host that takes nothing for so long no longer holds up the report of the exit. */
export const drainStallMs = 5_000;
/** After the write side is shut down, the host's close is awaited for so long before we close. */
export const hostCloseMs = 5_000;
/**
 * How long the kernel may take to close a pipe or a terminal, or to set a terminal's size, before it is no longer waited
 * for: a program at the other end can make it wait for ever.
 */
export const kernelCallMs = 5_000;

const stallCheckMs = 500;

/**
 * Of a process that has exited: the relay ends when all is handed over, though another process may keep its source open.
 * @returns when it has; never rejects
 */
export function endWhenSilent(relay: Relay): Promise<RelayResult> {
  return relay.drain({ idleMs: drainIdleMs, limitMs: drainLimitMs });
}

/**
 * Settles when a relay has handed everything over, or when its host has taken nothing for drainStallMs: then
 * the relay goes on in the background.
 */
export async function drainOutput(relay: Relay): Promise<void> {
  const ended = endWhenSilent(relay);
  const stalled = Promise.withResolvers<void>();
  let bytes = relay.bytes;
  let since = performance.now();
  // A stall is the absence of events, so there is nothing to subscribe to.
  const timer = setInterval(() => {
    const now = performance.now();
    if (relay.bytes !== bytes) {
      bytes = relay.bytes;
      since = now;
    } else if (now - since >= drainStallMs) {
      stalled.resolve();
    }
  }, stallCheckMs);
  try {
    await Promise.race([ended, stalled.promise]);
  } finally {
    clearInterval(timer);
  }
  if (!relay.hasEnded) relay.setKeepsLoopAlive(false);
}
