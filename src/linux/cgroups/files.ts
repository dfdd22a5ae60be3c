import { closeSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { isSystemError } from "../../common/system-error.ts";

/** An unsigned 64-bit value: a bigint only where a number would round it. */
export type Unsigned64 = number | bigint;

/** The kernel's "max" in cgroup v2 files: no limit. */
const noLimit = 2n ** 64n - 1n;

/** Grown for the read of a larger file, such as the process list of thousands, and given back after it. */
const USUAL_BYTES = 16 * 1024;
let buffer = Buffer.allocUnsafe(USUAL_BYTES);

/**
 * Reads one of the kernel's small text files. Synchronous, and with one buffer for all: such a read takes a few
 * microseconds, a promise per file would take more.
 * @returns undefined when the file, or the cgroup it belongs to, does not exist (any more).
 */
export function readKernelFile(path: string | Buffer): string | undefined {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ENODEV", "ENOTDIR")) return undefined;
    throw error;
  }
  try {
    let length = 0;
    for (;;) {
      const count = readSync(fd, buffer, length, buffer.length - length, null);
      if (count === 0) return buffer.toString("latin1", 0, length);
      length += count;
      if (length === buffer.length) buffer = Buffer.concat([buffer, Buffer.allocUnsafe(buffer.length)]);
    }
  } catch (error) {
    // ENODEV: the cgroup was removed after the open. The other two are one number: the process list of a threaded v2
    // cgroup, whose processes its parent lists.
    if (isSystemError(error, "ENODEV", "EOPNOTSUPP", "ENOTSUP")) return undefined;
    throw error;
  } finally {
    closeSync(fd);
    if (buffer.length > USUAL_BYTES) buffer = Buffer.allocUnsafe(USUAL_BYTES);
  }
}

/** Writes to a control file in one write, as the kernel requires. */
export function writeKernelFile(path: string, value: string): void {
  const fd = openSync(path, "w");
  try {
    writeSync(fd, value);
  } finally {
    closeSync(fd);
  }
}

/** Whether a cgroup directory has children, without listing it: kernfs counts them in the link count. */
export function hasChildCgroups(directory: string | Buffer): boolean {
  const stat = statSync(directory, { throwIfNoEntry: false });
  return stat !== undefined && stat.nlink > 2;
}

/** Exact; "max" is 2^64-1. @returns 0 for text that is no unsigned number. */
export function parseUnsigned(text: string): Unsigned64 {
  const digits = text.trim();
  // Up to 15 digits stay below 2^53 for certain.
  if (digits.length <= 15) {
    const value = digits === "max" ? noLimit : Number(digits);
    return typeof value === "bigint" || value >= 0 ? value : 0;
  }
  if (!/^\d+$/.test(digits)) return 0;
  return shorten(BigInt(digits));
}

/** value * factor, exact: nanoseconds from ticks or microseconds may pass 2^53. */
export function multiply(value: Unsigned64, factor: number): Unsigned64 {
  const product = Number(value) * factor;
  return Number.isSafeInteger(product) ? product : shorten(BigInt(value) * BigInt(factor));
}

/** Parses lines of "key value". */
export function parseKeyedValues(text: string): Map<string, Unsigned64> {
  const values = new Map<string, Unsigned64>();
  for (let start = 0; start < text.length; ) {
    let end = text.indexOf("\n", start);
    if (end < 0) end = text.length;
    const blank = text.indexOf(" ", start);
    if (blank > start && blank < end)
      values.set(text.slice(start, blank), parseUnsigned(text.slice(blank + 1, end)));
    start = end + 1;
  }
  return values;
}

function shorten(value: bigint): Unsigned64 {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}
