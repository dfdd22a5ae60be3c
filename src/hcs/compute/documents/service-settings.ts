import * as v from "valibot";
import { LONGEST_TIMER_MS } from "../../../common/deadline.ts";
import { AgentError } from "../../../common/errors.ts";
import type { ModificationRequest, ServiceProperties, ServicePropertyQuery } from "./schema2.ts";
import { parseStrictly } from "./strict.ts";

/** Milliseconds; as in hcsshim four minutes each. */
const DEFAULT_TIMEOUT_MS = 4 * 60_000;

const milliseconds = v.optional(v.pipe(v.number(), v.minValue(1), v.maxValue(LONGEST_TIMER_MS)));
const timeouts = v.strictObject({
  SystemCreateMs: milliseconds,
  SystemStartMs: milliseconds,
  SystemPauseMs: milliseconds,
  SystemResumeMs: milliseconds,
  SystemSaveMs: milliseconds,
});

const serviceQuery = v.strictObject({ PropertyTypes: v.optional(v.array(v.string()), ["Basic"]) });
const modification = v.strictObject({ PropertyType: v.string(), Settings: v.optional(v.unknown()) });

/** How long the calls may take before they throw ErrTimeout. */
export type Timeouts = Required<{ [Name in keyof v.InferOutput<typeof timeouts>]: number }>;

export const defaultTimeouts: Readonly<Timeouts> = {
  SystemCreateMs: DEFAULT_TIMEOUT_MS,
  SystemStartMs: DEFAULT_TIMEOUT_MS,
  SystemPauseMs: DEFAULT_TIMEOUT_MS,
  SystemResumeMs: DEFAULT_TIMEOUT_MS,
  SystemSaveMs: DEFAULT_TIMEOUT_MS,
};

/** What of the service can be asked for and changed. */
export class ServiceSettings {
  #timeouts: Timeouts = { ...defaultTimeouts };

  /** Milliseconds. */
  get timeouts(): Readonly<Timeouts> {
    return this.#timeouts;
  }

  /** @throws AgentError NOT_SUPPORTED naming the property, INVALID_JSON */
  properties(query: ServicePropertyQuery): ServiceProperties {
    const { PropertyTypes: types } = parseStrictly(serviceQuery, query, "query");
    return { Properties: types.map((type) => this.#property(type)) };
  }

  /** @throws AgentError NOT_SUPPORTED naming the property, INVALID_JSON */
  modify(request: ModificationRequest): void {
    const { PropertyType, Settings } = parseStrictly(modification, request, "service settings");
    if (PropertyType !== "Timeouts") throw unknownProperty(PropertyType);
    const given = Object.entries(parseStrictly(timeouts, Settings, "service settings"));
    const changed = given.filter(([, value]) => value !== undefined);
    this.#timeouts = { ...this.#timeouts, ...Object.fromEntries(changed) };
  }

  #property(type: string): unknown {
    if (type === "Basic") return { SupportedSchemaVersions: [{ Major: 2, Minor: 1 }] };
    if (type === "Timeouts") return { ...this.#timeouts };
    throw unknownProperty(type);
  }
}

function unknownProperty(type: string): AgentError {
  return new AgentError(
    "NOT_SUPPORTED",
    `the compute service has no property ${type}; it has Basic and Timeouts`,
  );
}
