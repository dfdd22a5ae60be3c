/** What a check is, and running all of them: none takes longer than its deadline, and none that fails keeps the others. */
import { withDeadline } from "../../common/deadline.ts";
import { describeError } from "../../common/errors.ts";
import { printable } from "../../common/printable.ts";
import type { Surroundings } from "./surroundings.ts";

/** A try of KVM takes 5 s, a program its version 10. */
const DEADLINE_MS = 20_000;

export interface Finding {
  /** "missing": `lcow run` would not work. "note": it works, and something is slower or cannot be done. */
  readonly state: "ok" | "note" | "missing";
  /** One line. */
  readonly says: string;
  /** How to get what is missing. */
  readonly remedy?: string;
}

export interface Check {
  readonly name: string;
  /** What it is needed for. */
  readonly neededFor: string;
  /** Makes nothing that stays. */
  run(around: Surroundings): Promise<Finding>;
}

export interface Diagnosis extends Finding {
  readonly name: string;
  readonly neededFor: string;
}

export const ok = (says: string): Finding => ({ state: "ok", says });
export const note = (says: string, remedy?: string): Finding => finding("note", says, remedy);
export const missing = (says: string, remedy?: string): Finding => finding("missing", says, remedy);

function finding(state: Finding["state"], says: string, remedy: string | undefined): Finding {
  return { state, says, ...(remedy !== undefined && { remedy }) };
}

/** In the table's order, whichever is done first. Never rejects. */
export async function runChecks(
  checks: readonly Check[],
  around: Surroundings,
  deadlineMs: number = DEADLINE_MS,
): Promise<Diagnosis[]> {
  return await Promise.all(
    checks.map(async ({ name, neededFor, run }) => {
      try {
        const found = await withDeadline(run(around), "it", { timeoutMs: deadlineMs });
        return { name, neededFor, ...found };
      } catch (error) {
        return { name, neededFor, ...note(`could not be found out: ${describeError(error)}`) };
      }
    }),
  );
}

/** Whether `lcow run` would work. */
export function works(found: readonly Diagnosis[]): boolean {
  return found.every(({ state }) => state !== "missing");
}

const WORDS = { ok: "ok", note: "note", missing: "MISSING" } as const;

/** A line each, what to do on a line of its own, and what comes of it. */
export function formatDiagnosis(found: readonly Diagnosis[]): string {
  const stateWidth = WORDS.missing.length + 2;
  const width = Math.max(...found.map(({ name }) => name.length)) + 2;
  const indent = " ".repeat(stateWidth + width);
  const lines = found.map(({ name, neededFor, state, says, remedy }) => {
    const use = state === "ok" ? "" : ` (needed for ${neededFor})`;
    const first = `${WORDS[state].padEnd(stateWidth)}${name.padEnd(width)}${printable(says)}${use}\n`;
    return remedy === undefined ? first : `${first}${indent}remedy: ${printable(remedy)}\n`;
  });
  const lacking = found.filter(({ state }) => state === "missing").map(({ name }) => name);
  const sum = lacking.length === 0 ? "works here" : `does not work here, for want of: ${lacking.join(", ")}`;
  return `${lines.join("")}\nlcow run ${sum}\n`;
}
