import * as v from "valibot";
import { AgentError } from "../common/errors.ts";

const KEY_LENGTH = 64;

/**
 * Checks parsed JSON against a schema.
 *
 * @throws AgentError INVALID_JSON naming the path when the shape is wrong, INVALID_ARGUMENT when a value of the
 *   right type is out of bounds. Strings of the input are never quoted: they may be secrets.
 */
export function validate<const TSchema extends v.GenericSchema<unknown, unknown>>(
  schema: TSchema,
  value: unknown,
): v.InferOutput<TSchema> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  throw errorOf(result.issues[0]);
}

function errorOf(issue: v.BaseIssue<unknown>): AgentError {
  const path = describePath(issue.path ?? []);
  const last = issue.path?.at(-1);
  if (last?.origin === "key" && issue.type !== "custom") {
    return new AgentError("INVALID_JSON", `${path} is missing`);
  }
  // Issues that a transformation raises say all there is to say.
  if (issue.kind === "transformation") return new AgentError("INVALID_JSON", `${path}: ${issue.message}`);
  const outOfBounds = issue.kind === "validation";
  const got = outOfBounds ? describeValue(issue.input) : describeType(issue.input);
  return new AgentError(
    outOfBounds ? "INVALID_ARGUMENT" : "INVALID_JSON",
    `${path}: expected ${describeExpected(issue)}, got ${got}`,
  );
}

function describeExpected(issue: v.BaseIssue<unknown>): string {
  // Where the schemas say what they want, they say it in the message.
  if (issue.type === "custom" || issue.kind === "validation") return issue.message;
  return (issue.expected ?? "another value").toLowerCase();
}

/** What the JSON has instead: a type, never a value. */
export function describeType(value: unknown): string {
  if (value === null) return "null";
  if (value === undefined) return "nothing";
  if (typeof value === "bigint") return "number";
  return Array.isArray(value) ? "array" : typeof value;
}

/** Numbers are shown; strings never are. */
function describeValue(value: unknown): string {
  if (value === "") return "an empty string";
  if (Array.isArray(value) && value.length === 0) return "an empty array";
  const type = describeType(value);
  const digits = type === "number" ? String(value) : "";
  return digits !== "" && digits.length <= 24 ? digits : type;
}

/** `ContainerConfig.OciSpecification.process.args[1]`. */
function describePath(items: readonly v.IssuePathItem[]): string {
  let path = "";
  for (const { key } of items) {
    if (typeof key === "number") path += `[${key}]`;
    else {
      const name = String(key).slice(0, KEY_LENGTH);
      if (!/^[\w-]+$/.test(name)) path += `[${JSON.stringify(name)}]`;
      else path += path === "" ? name : `.${name}`;
    }
  }
  return path || "the body";
}
