/**
 * How long the service waits, in milliseconds; one table for all. What is not here waits for as long as the guest
 * answers at all: a call is given up when the guest has been silent for `guestSilenceMs`, not when it is slow.
 */
export const limits = {
  /** The guest is asked for a sign of life this often. */
  heartbeatMs: 2_000,
  /** A guest that says nothing for so long, though asked, does not answer. */
  guestSilenceMs: 10_000,
  /** Force asks a guest for so long, so that exit codes are known; then its machine is ended. */
  forceMs: 2_000,
  /** A guest that is asked where it is (`lcow diagnose`) may take so long. */
  stacksMs: 5_000,
  /** A keeper is asked for a sign of life this often, while somebody waits for it. */
  keeperHeartbeatMs: 1_000,
  /** A keeper that says nothing for so long does not answer. */
  keeperSilenceMs: 5_000,
  /** What `list` gives each keeper, and force one that is to end what it keeps; else it is killed. */
  keeperListMs: 3_000,
  /** Until a new keeper is ready. */
  keeperStartMs: 30_000,
  /** A keeper whose service died before it said what for ends itself. */
  keeperUnusedMs: 10 * 60_000,
  /** The output of an attached process waits so long for who is to read it. */
  attachMs: 30_000,
  /** After a process's end, output that would be taken and does not come for so long is given up. */
  outputStallMs: 10_000,
  /** A keeper with nothing left to keep waits so long for those who still read what they are told. */
  lastWordsMs: 60_000,
} as const;
