import { UsageError } from "../arguments.ts";

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Reads a time: so long ago ("10m", "1h30m", "2d"), seconds since 1970 ("1764043200"), or a date ("2026-11-25",
 * "2026-11-25T03:48:03", here, or with "Z" or "+01:00").
 * @param what for messages
 * @param now milliseconds since 1970
 * @returns milliseconds since 1970
 * @throws UsageError
 */
export function readSince(text: string, what: string, now = Date.now()): number {
  if (/^\d{1,12}(\.\d{1,9})?$/.test(text)) return Number(text) * 1000;
  if (/^(\d{1,9}(\.\d+)?(ms|[smhd]))+$/.test(text)) {
    let ago = 0;
    for (const [, count, , unit = ""] of text.matchAll(/(\d+(\.\d+)?)(ms|[smhd])/g)) {
      ago += Number(count) * (UNITS[unit] ?? 0);
    }
    return Math.max(0, now - ago);
  }
  const date = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/.exec(text)?.[1];
  if (date !== undefined && isInCalendar(date)) {
    // A date alone is midnight here, as for every other tool on this machine; Date.parse() would take UTC.
    const time = Date.parse(text.includes("T") ? text : `${text}T00:00`);
    if (time >= 0) return time;
  }
  throw new UsageError(`${what}: expected a time such as 10m, 1h30m, 2026-11-25T12:00:00 or 1764043200`);
}

/** Date.parse() takes February 30 for March 2. */
function isInCalendar(date: string): boolean {
  const midnight = new Date(`${date}T00:00Z`);
  return !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(date);
}
