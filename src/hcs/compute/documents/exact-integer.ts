/**
 * An integer from a guest, unrounded, in a form that JSON has: a number up to 2^53 - 1, its decimal digits as a string
 * beyond that. `BigInt(value)` reads both exactly, `Number(value)` rounds.
 */
export type ExactInteger = number | string;

export function exactInteger(value: bigint): ExactInteger {
  const asNumber = Number(value);
  return Number.isSafeInteger(asNumber) ? asNumber : value.toString();
}

/** A copy without bigints, which JSON.stringify() refuses: what cannot be a number exactly is a string. */
export function withExactIntegers(value: unknown): unknown {
  if (typeof value === "bigint") return exactInteger(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(withExactIntegers);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, withExactIntegers(member)]));
}
