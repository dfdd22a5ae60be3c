/** Medians and the like, and the interleaving that makes two numbers comparable on a machine that others use too. */

/** @param fraction 0.5 for the median. @returns NaN for no samples. */
export function percentile(samples: readonly number[], fraction: number): number {
  const sorted = samples.toSorted((one, other) => one - other);
  const position = (sorted.length - 1) * fraction;
  const low = sorted[Math.floor(position)] ?? Number.NaN;
  const high = sorted[Math.ceil(position)] ?? Number.NaN;
  return low + (high - low) * (position - Math.floor(position));
}

export const median = (samples: readonly number[]): number => percentile(samples, 0.5);

/**
 * Measures several sides in turns, so that what else the machine does falls on all of them alike. Each round starts
 * with another side; the first rounds warm up and do not count.
 *
 * @param sides each does its work once and gives one sample.
 */
export async function interleave<Name extends string, Sample>(
  rounds: { readonly count: number; readonly warmUp: number },
  sides: Readonly<Record<Name, () => Promise<Sample>>>,
): Promise<Record<Name, Sample[]>> {
  const names = Object.keys(sides) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, Sample[]>;
  for (let round = -rounds.warmUp; round < rounds.count; round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(turn + round + rounds.warmUp) % names.length];
      if (name === undefined) continue;
      const sample = await sides[name]();
      if (round >= 0) samples[name].push(sample);
    }
  }
  return samples;
}

/** Milliseconds that something takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
