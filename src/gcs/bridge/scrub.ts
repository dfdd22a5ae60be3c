/** Requests as a log may show them: what can hold a secret is replaced, at any depth. */
import { secretFields } from "../../common/secret-fields.ts";

const REPLACEMENT = "<scrubbed>";

export function scrub(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(scrub);
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => [name, secretFields.has(name) ? REPLACEMENT : scrub(field)]),
  );
}

/** The same without replacement, for a log whose owner asked for everything. */
export function loggable(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, field: unknown) => (typeof field === "bigint" ? String(field) : field)),
  );
}
