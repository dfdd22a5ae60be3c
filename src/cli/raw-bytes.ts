/**
 * Node decodes arguments and variables as UTF-8, and what is none becomes U+FFFD. Messages are JSON, which cannot
 * carry other bytes, so they are refused rather than changed.
 */
import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { UsageError } from "./arguments.ts";

const REPLACEMENT = "\u{fffd}";

/** @param words of the command line behind the program. @throws UsageError */
export function checkArguments(words: readonly string[]): void {
  // A replacement character may have been typed: only then it takes a look at the bytes.
  if (!words.some((word) => word.includes(REPLACEMENT))) return;
  const raw = entriesOf("/proc/self/cmdline").slice(-words.length);
  const index = raw.findIndex((word) => !isUtf8(word));
  if (index === -1) return;
  throw new UsageError(
    `argument ${index + 1}, ${JSON.stringify(words[index])}, is not UTF-8 and would not arrive as it is`,
  );
}

/** A variable of this process, if it is set. @throws UsageError when it is not UTF-8. */
export function environmentVariable(name: string): string | undefined {
  const value = process.env[name];
  if (value === undefined || !value.includes(REPLACEMENT)) return value;
  const start = Buffer.from(`${name}=`);
  const raw = entriesOf("/proc/self/environ").find((entry) => entry.subarray(0, start.length).equals(start));
  if (raw === undefined || isUtf8(raw)) return value;
  throw new UsageError(`the variable ${name} is not UTF-8 and would not arrive as it is`);
}

/** Bytes between NULs. */
function entriesOf(file: string): Buffer[] {
  const bytes = readFileSync(file);
  const entries: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at);
    const stop = end === -1 ? bytes.length : end;
    entries.push(bytes.subarray(at, stop));
    at = stop + 1;
  }
  return entries;
}
