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
  /** A keeper, and by the commands the service, is asked for a sign of life this often while somebody waits for it. */
  peerHeartbeatMs: 1_000,
  /** One that says nothing for so long does not answer. */
  peerSilenceMs: 5_000,
  /** A command that is attached asks its service and keeper for a sign of life this often. */
  attachedHeartbeatMs: 2_000,
  /** A service that does not say for so long how the keeper is does not answer: it waits for the keeper itself. */
  attachedSilenceMs: 7_500,
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
