import type { Work } from "./work.ts";

/** What a round has of each, but for a reconnect at its end. */
export const ROUND = { life: 10, exec: 10, terminal: 3, vmProcess: 3, modification: 1 } as const;

/** One round, mixed, so many at once; then a reconnect, with nothing else at once. @throws what the first failure throws */
export async function doRound(work: Work, atOnce: number): Promise<void> {
  // Spread, rather than one kind after the other: 0/10, 1/10, ... of the round.
  const jobs = (Object.keys(ROUND) as (keyof typeof ROUND)[])
    .flatMap((kind) => Array.from({ length: ROUND[kind] }, (_, index) => ({ kind, at: index / ROUND[kind] })))
    .toSorted((one, other) => one.at - other.at);
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await work[job.kind]();
    }),
  );
  await work.reconnect();
}
