/** One line of the bench: what the agent needs, what the machine needs at least, and the ratio of the two. */
export interface Measurement {
  /** Stable, for machines: "life.runc.median". */
  readonly name: string;
  /** For people. */
  readonly title: string;
  /** "ms", "us", "per s", "GB/s", "CPU-s/GB", "MB", "count". */
  readonly unit: string;
  readonly value: number;
  /** The same work without the agent, measured in turns with it. */
  readonly floor?: { readonly what: string; readonly value: number };
  readonly goal?: Goal;
}

/** A limit that the value, or its ratio to the floor, is to keep. */
export interface Goal {
  readonly on: "value" | "ratio";
  readonly limit: number;
  readonly direction: "at most" | "at least";
}

export function ratioOf({ value, floor }: Measurement): number | undefined {
  return floor === undefined ? undefined : value / floor.value;
}

/** @returns undefined where there is no goal. */
export function isReached(measurement: Measurement): boolean | undefined {
  const { goal } = measurement;
  if (goal === undefined) return undefined;
  const measured = goal.on === "value" ? measurement.value : (ratioOf(measurement) ?? Number.NaN);
  return goal.direction === "at most" ? measured <= goal.limit : measured >= goal.limit;
}

export const atMost = (limit: number): Goal => ({ on: "value", limit, direction: "at most" });
export const ratioAtMost = (limit: number): Goal => ({ on: "ratio", limit, direction: "at most" });
export const atLeast = (limit: number): Goal => ({ on: "value", limit, direction: "at least" });
export const ratioAtLeast = (limit: number): Goal => ({ on: "ratio", limit, direction: "at least" });
