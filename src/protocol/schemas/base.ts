import * as v from "valibot";
import { AgentError } from "../../common/errors.ts";
import { parseJson } from "../../common/json.ts";
import { checkContainerId } from "../container-id.ts";
import { describeType } from "../validate.ts";

/*
 * The building blocks of all schemas. They follow the habits of Go, in which hosts and the other guest agent are
 * written: an optional field may be absent or null. Issues of kind "validation" (from v.check) mean a value of the
 * right type but out of bounds; all others mean that the JSON is not of the right shape, and those that a
 * transformation raises carry their whole message.
 */

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

type AnySchema = v.GenericSchema<unknown, unknown>;

/** An optional field: absent, null or valid. Null comes out as undefined, so handlers see one kind of absence. */
export function optional<const TSchema extends AnySchema>(
  schema: TSchema,
): v.OptionalSchema<TSchema, undefined> {
  const base = v.optional(schema);
  return {
    ...base,
    "~run"(dataset, config) {
      if (dataset.value !== null && dataset.value !== undefined) {
        return schema["~run"](dataset, config) as v.OutputDataset<
          v.InferOutput<TSchema> | undefined,
          v.InferIssue<TSchema>
        >;
      }
      return { typed: true, value: undefined };
    },
  };
}

const notAnObject = v.custom<Record<string, unknown>>(isObject, "object");

/**
 * Field names match whatever their case, as Go's decoder takes them; the exact one goes first.
 * @param names the fields by their names in lower case
 */
function withExactNames(
  input: Record<string, unknown>,
  names: ReadonlyMap<string, string>,
): Record<string, unknown> {
  let exact: Record<string, unknown> | undefined;
  for (const key in input) {
    const name = names.get(key.toLowerCase());
    if (name === undefined || name === key || Object.hasOwn(input, name)) continue;
    exact ??= { ...input };
    exact[name] = input[key];
    delete exact[key];
  }
  return exact ?? input;
}

function namesOf(entries: v.ObjectEntries): ReadonlyMap<string, string> {
  return new Map(Object.keys(entries).map((name) => [name.toLowerCase(), name]));
}

/** An object whose unknown fields are ignored. (valibot's own takes arrays for objects.) */
export function object<const TEntries extends v.ObjectEntries>(
  entries: TEntries,
): v.ObjectSchema<TEntries, undefined> {
  const base = v.object(entries);
  const names = namesOf(entries);
  return {
    ...base,
    "~run"(dataset, config) {
      const input = dataset.value;
      if (!isObject(input)) return refuse(dataset, config);
      return base["~run"]({ ...dataset, value: withExactNames(input, names) }, config);
    },
  };
}

/** An object whose unknown fields pass through untouched. */
export function looseObject<const TEntries extends v.ObjectEntries>(
  entries: TEntries,
): v.LooseObjectSchema<TEntries, undefined> {
  const base = v.looseObject(entries);
  const names = namesOf(entries);
  return {
    ...base,
    "~run"(dataset, config) {
      if (!isObject(dataset.value)) return refuse(dataset, config);
      const input = withExactNames(dataset.value, names);
      const output = base["~run"]({ ...dataset, value: input }, config);
      // valibot leaves these two names out; in JSON they are names like any other.
      for (const key of ["constructor", "prototype"]) {
        if (Object.hasOwn(input, key)) (output.value as Record<string, unknown>)[key] = input[key];
      }
      return output;
    },
  };
}

function refuse(dataset: v.UnknownDataset, config: v.Config<v.BaseIssue<unknown>>): never {
  return notAnObject["~run"](dataset, config) as never;
}

/** An object of any fields, passed through untouched. */
export const anyObject = notAnObject;

/** Names to strings. */
export const stringRecord = v.pipe(
  notAnObject,
  v.rawTransform<Record<string, unknown>, Record<string, string>>(({ dataset, addIssue, NEVER }) => {
    const input = dataset.value;
    for (const key in input) {
      const value = input[key];
      if (typeof value === "string") continue;
      addIssue({
        message: `expected string, got ${describeType(value)}`,
        input: value,
        path: [{ type: "object", origin: "value", input, key, value }],
      });
      return NEVER;
    }
    return input as Record<string, string>;
  }),
);

function integer(minimum: number, maximum: number) {
  return v.pipe(
    v.custom<number>((value) => typeof value === "number" || typeof value === "bigint", "number"),
    v.check(
      (value) => Number.isInteger(value) && value >= minimum && value <= maximum,
      `an integer from ${minimum} to ${maximum}`,
    ),
  );
}

export const u8 = integer(0, 0xff);
export const u16 = integer(0, 0xffff);
export const u32 = integer(0, 0xffffffff);
export const i32 = integer(-0x80000000, 0x7fffffff);
/** A size or count that is 64 bits wide on the wire; none that is real exceeds 2^53 - 1, so a number holds it. */
export const u53 = integer(0, Number.MAX_SAFE_INTEGER);

export function integerBetween(minimum: number, maximum: number) {
  return integer(minimum, maximum);
}

export const nonEmptyString = v.pipe(
  v.string(),
  v.check((text) => text !== "", "a string that is not empty"),
);

/** A string that holds JSON of its own, as several fields on the wire do: parsed and validated in place. */
export function jsonText<const TSchema extends AnySchema>(schema: TSchema) {
  return v.pipe(
    v.string(),
    v.rawTransform<string, unknown>(({ dataset, addIssue, NEVER }) => {
      try {
        return parseJson(dataset.value);
      } catch (error) {
        if (!(error instanceof AgentError)) throw error;
        addIssue({ message: error.message });
        return NEVER;
      }
    }),
    schema,
  );
}

/** The id of a container, checked before it can become a path; all zeros means the utility VM. */
export const containerId = v.pipe(
  v.string(),
  v.transform((id) => {
    checkContainerId(id);
    return id;
  }),
);

/** Longer ones would make a reply that echoes them too large. */
const MAXIMUM_ACTIVITY_ID_LENGTH = 255;

const tracing = {
  /** Correlates the log records of host and guest, a GUID; echoed in the response. */
  ActivityId: optional(
    v.pipe(
      v.string(),
      v.check(
        (id) => id.length <= MAXIMUM_ACTIVITY_ID_LENGTH,
        `at most ${MAXIMUM_ACTIVITY_ID_LENGTH} characters`,
      ),
    ),
  ),
  /** W3C trace context: `traceparent` and perhaps `tracestate`. */
  otsc: optional(stringRecord),
};

/** The fields at the head of every request. */
export const requestBase = {
  /** The container, or all zeros for the utility VM. */
  ContainerId: containerId,
  ...tracing,
};

/** The same where no container is meant: the field must be there and is not looked at. */
export const requestBaseWithoutContainer = {
  ContainerId: v.string(),
  ...tracing,
};
