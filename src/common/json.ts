import { AgentError } from "./errors.ts";

/** How deeply objects and arrays may nest; an OCI spec needs 8. Bounds the recursion of everything that walks a value. */
export const MAXIMUM_DEPTH = 128;
/** Digits an integer may have. 64 bits need 20; the bound keeps the cost of a hostile one small. */
const MAXIMUM_DIGITS = 1024;

/**
 * Parses JSON text. Integers that a number cannot hold become bigint, unrounded; all others are numbers. A key
 * named `__proto__` is left out.
 *
 * @throws AgentError INVALID_JSON; its message quotes nothing of the text, which may hold secrets.
 */
export function parseJson(text: string): unknown {
  const value = parse(text);
  const found: Findings = { largeInteger: false };
  inspect(value, MAXIMUM_DEPTH, found);
  // Only now, with the depth known, is the recursive reviver safe; texts without large integers never pay for it.
  return found.largeInteger ? parse(text, keepLargeInteger) : value;
}

/**
 * Prints a value as JSON text, bigints as integers.
 * @param indent blanks for each level, on lines of their own; none by default
 *
 * @throws AgentError INVALID_JSON for what JSON cannot express: a cycle, deep nesting, undefined, a function.
 */
export function stringifyJson(value: unknown, indent?: number): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value, undefined, indent);
  } catch {
    // The usual cause is a bigint, which JSON.stringify refuses; a replacer for every value would be slow.
    text = stringifyWithBigints(value, indent);
  }
  if (text === undefined) throw new AgentError("INVALID_JSON", `a ${typeof value} cannot be printed as JSON`);
  return text;
}

type Reviver = (this: unknown, key: string, value: unknown, context: { source?: string }) => unknown;
// Both are newer than the type library of the target: source text in revivers and raw JSON.
const parseWithReviver = JSON.parse as (text: string, reviver?: Reviver) => unknown;
const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

function parse(text: string, reviver?: Reviver): unknown {
  try {
    return parseWithReviver(text, reviver);
  } catch (error) {
    if (error instanceof AgentError) throw error;
    // The engine's message quotes the text around the fault, so only the position is kept and no cause.
    const position = error instanceof Error ? /at position \d+/.exec(error.message)?.[0] : undefined;
    throw new AgentError("INVALID_JSON", position ? `not valid JSON ${position}` : "not valid JSON");
  }
}

const keepLargeInteger: Reviver = (key, value, context) => {
  if (key === "__proto__") return undefined;
  if (typeof value !== "number" || Number.isSafeInteger(value)) return value;
  const source = context.source ?? "";
  if (!/^-?\d+$/.test(source)) {
    if (Number.isFinite(value)) return value;
    throw new AgentError("INVALID_JSON", "a number is too large");
  }
  if (source.length > MAXIMUM_DIGITS) {
    throw new AgentError("INVALID_JSON", `an integer has more than ${MAXIMUM_DIGITS} digits`);
  }
  return BigInt(source);
};

interface Findings {
  largeInteger: boolean;
}

/** Bounds the depth, drops `__proto__` keys and finds integers that were rounded (or became Infinity). */
function inspect(value: unknown, depth: number, found: Findings): void {
  if (typeof value === "number") {
    if (Math.abs(value) > Number.MAX_SAFE_INTEGER) found.largeInteger = true;
    return;
  }
  if (typeof value !== "object" || value === null) return;
  if (depth === 0) throw new AgentError("INVALID_JSON", `nested more than ${MAXIMUM_DEPTH} deep`);
  if (Array.isArray(value)) {
    for (const element of value) inspect(element, depth - 1, found);
    return;
  }
  const object = value as Record<string, unknown>;
  for (const key in object) {
    if (key === "__proto__") delete object[key];
    else inspect(object[key], depth - 1, found);
  }
}

function stringifyWithBigints(value: unknown, indent: number | undefined): string | undefined {
  try {
    return JSON.stringify(
      value,
      (_key, member: unknown) => (typeof member === "bigint" ? rawJson(member.toString()) : member),
      indent,
    );
  } catch (error) {
    throw new AgentError("INVALID_JSON", "the value cannot be printed as JSON: it is cyclic or too deep", {
      cause: error,
    });
  }
}
