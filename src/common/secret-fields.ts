/**
 * Which fields of requests and documents can hold a secret: environments, command lines, annotations and labels, where
 * users put passwords and tokens. A leaf that every room may import.
 */

export const secretFields: ReadonlySet<string> = new Set([
  "env",
  "Environment",
  "args",
  "CommandLine",
  "CommandArgs",
  "annotations",
  "Annotations",
  "labels",
  "Labels",
  "EncodedSecurityPolicy",
  "Fragment",
]);

/** Shorter ones are in every text, and no secret of any worth. */
export const SHORTEST_SECRET = 4;

/** Command lines: their first word is the program, and no secret. */
export const commandFields: ReadonlySet<string> = new Set(["args", "CommandLine", "CommandArgs"]);

/** The values of such fields, at any depth, as they stand there, and the parts of which users think as the secret. */
export function* secretValues(value: unknown): Generator<string> {
  if (Array.isArray(value)) {
    for (const item of value) yield* secretValues(item);
  } else if (typeof value === "object" && value !== null) {
    for (const [name, field] of Object.entries(value)) {
      if (!secretFields.has(name)) yield* secretValues(field);
      else for (const text of valuesOf(name, field)) yield* parts(text);
    }
  }
}

function* valuesOf(name: string, field: unknown): Generator<string> {
  if (!commandFields.has(name)) yield* strings(field);
  else if (typeof field === "string") yield* field.split(/\s+/).slice(1);
  // A seccomp profile has args, too, which are objects.
  else if (Array.isArray(field)) yield* field.slice(1).filter((word) => typeof word === "string");
}

/** Values, not the names that they have. */
function* strings(value: unknown): Generator<string> {
  if (typeof value === "string") yield value;
  else if (typeof value === "object" && value !== null) {
    for (const item of Object.values(value)) yield* strings(item);
  }
}

/** Of `NAME=VALUE` and `--option=VALUE` the value, of several lines each: a log may show only that. */
function* parts(text: string): Generator<string> {
  const assigned = /^-*[A-Za-z_][\w.-]*=(.*)$/s.exec(text)?.[1];
  for (const whole of assigned === undefined ? [text] : [text, assigned]) {
    yield whole;
    if (whole.includes("\n")) yield* whole.split(/\r?\n/);
  }
}
