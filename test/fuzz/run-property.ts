/** One target's runs, in this process; what a worker does. */
import { createHash } from "node:crypto";
import { closeSync, ftruncateSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describeError } from "../../src/common/errors.ts";
import { currentFile, foundDirectory, keptInputs } from "./paths.ts";
import type { Finding, Outcome, Property, PropertyTarget } from "./target.ts";

/** For making a finding smaller. */
const SHRINK_MS = 60_000;
/** Between two looks at the clock. */
const BATCH_RUNS = 100;

export type Amount = { readonly runs: number } | { readonly seconds: number };

/** Rejections that nobody looked at since the last one() began. */
const unhandled: unknown[] = [];
process.on("unhandledRejection", (error) => unhandled.push(error));

/** The kept inputs first, then new ones, until one fails. */
export async function runProperty(target: PropertyTarget, amount: Amount): Promise<Outcome> {
  const property = await target.load();
  const start = performance.now();
  const current = openSync(currentFile(target.name), "w", 0o600);
  const kept = keptInputs(target.name);
  let runs = 0;
  let shrinkUntil = Number.POSITIVE_INFINITY;
  const one = async (input: never): Promise<void> => {
    runs++;
    const text = JSON.stringify(input);
    ftruncateSync(current);
    writeSync(current, text, 0);
    // Making a finding smaller ends some time: what is tried after that counts as no finding.
    if (performance.now() > shrinkUntil) return;
    try {
      // As a replay reads it.
      await checkOne(property, JSON.parse(text) as never);
    } catch (error) {
      shrinkUntil = Math.min(shrinkUntil, performance.now() + SHRINK_MS);
      throw error;
    }
  };
  const outcome = (findings: readonly Finding[]): Outcome => ({
    runs,
    seconds: (performance.now() - start) / 1000,
    corpus: kept.length,
    findings,
  });
  try {
    for (const file of kept) {
      try {
        await one(JSON.parse(readFileSync(file, "utf8")) as never);
      } catch (error) {
        return outcome([{ file, message: report(error) }]);
      }
    }
    while (
      "runs" in amount ? runs < kept.length + amount.runs : performance.now() - start < amount.seconds * 1000
    ) {
      const result = await fc.check(fc.asyncProperty(property.inputs, one), {
        numRuns: "runs" in amount ? amount.runs : BATCH_RUNS,
      });
      if (!result.failed) continue;
      const [input] = result.counterexample ?? [];
      return outcome([{ file: keepInput(target.name, input), message: report(result.errorInstance) }]);
    }
    return outcome([]);
  } finally {
    closeSync(current);
  }
}

/** Throws what does not hold, promises that nobody looked at included. */
export async function checkOne(property: Property, input: never): Promise<void> {
  unhandled.length = 0;
  await property.check(input);
  // Node tells of a rejection after the microtasks of the turn in which it happened.
  await new Promise((resolve) => setImmediate(resolve));
  if (unhandled.length > 0)
    throw new Error("a promise was rejected and nobody looked", { cause: unhandled[0] });
}

/** @returns the file */
export function keepInput(target: string, input: unknown): string {
  const text = `${JSON.stringify(input)}\n`;
  const name = createHash("sha256").update(text).digest("hex").slice(0, 12);
  const file = join(foundDirectory(target), `finding-${name}.json`);
  writeFileSync(file, text);
  return file;
}

/** With where it happened: of a rejection that nobody saw, the reason's own place. */
export function report(error: unknown): string {
  const stack = error instanceof Error ? (error.cause instanceof Error ? error.cause : error).stack : "";
  const frames = (stack ?? "").split("\n").filter((line) => line.startsWith("    at "));
  return [describeError(error), ...frames.slice(0, 6)].join("\n");
}
