import * as v from "valibot";
import { AgentError } from "../../../common/errors.ts";

/**
 * Checks what a caller wrote against a schema that knows all its fields.
 * @param what names the whole in errors: "document"
 * @throws AgentError INVALID_JSON naming the first part that is missing, wrong or not known
 */
export function parseStrictly<TSchema extends v.GenericSchema<unknown, unknown>>(
  schema: TSchema,
  value: unknown,
  what: string,
): v.InferOutput<TSchema> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new AgentError("INVALID_JSON", describeIssue(issue, what));
}

function describeIssue(issue: v.BaseIssue<unknown>, what: string): string {
  const path = (issue.path ?? []).map((item) => String(item.key)).join(".");
  if (issue.type === "strict_object" && issue.expected === "never") {
    return `${what}: ${path} is not known here; leave it out`;
  }
  if (issue.received === "undefined") return `${what}: ${path} is missing`;
  const where = path === "" ? what : `${what}: ${path}`;
  const received = issue.received.length > 64 ? `${issue.received.slice(0, 64)}...` : issue.received;
  if (issue.expected !== null && issue.expected !== undefined) {
    return `${where} must be ${issue.expected}, not ${received}`;
  }
  return `${where} is not right: ${issue.message}`;
}
