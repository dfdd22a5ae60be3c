import { AgentError } from "../common/errors.ts";

/**
 * No string of a request may hold what Linux could not be given as it is: a NUL ends every argument, variable and path,
 * and half of a surrogate pair is no UTF-8. A runtime would shorten the one and replace the other in silence.
 *
 * @param value parsed JSON, of bounded depth.
 * @throws AgentError INVALID_ARGUMENT naming where it is, and nothing of the string, which may be a secret.
 */
export function checkStrings(value: unknown): void {
  const found = findBad(value);
  if (found === undefined) return;
  const path = found.path.reverse().join(".");
  throw new AgentError("INVALID_ARGUMENT", `${path || "the body"}: ${found.what}`);
}

interface Found {
  readonly what: string;
  /** Innermost first. */
  readonly path: string[];
}

function findBad(value: unknown): Found | undefined {
  if (typeof value === "string") return badIn(value, "a string");
  if (typeof value !== "object" || value === null) return undefined;
  for (const [key, member] of Object.entries(value)) {
    const badKey = badIn(key, "a name");
    if (badKey !== undefined) return badKey;
    const found = findBad(member);
    if (found === undefined) continue;
    found.path.push(key.slice(0, 64).toWellFormed());
    return found;
  }
  return undefined;
}

function badIn(text: string, what: string): Found | undefined {
  if (text.includes("\0"))
    return { what: `${what} holds a NUL character, which Linux cannot take`, path: [] };
  if (text.isWellFormed()) return undefined;
  return { what: `${what} holds half of a surrogate pair, which is no UTF-8`, path: [] };
}
