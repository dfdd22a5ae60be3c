import type { ParsedArguments } from "../arguments.ts";
import { readSystemName } from "../values.ts";
import type { OperandDescription, Verb } from "../verb.ts";
import { Connection, STATE_OPTION } from "./connection.ts";

/** The name of a system that there is. */
export const SYSTEM: OperandDescription = { name: "NAME", read: readSystemName, completes: "system" };
export const SYSTEMS: OperandDescription = { ...SYSTEM, repeated: true };

type ServiceVerb = Omit<Verb, "run"> & {
  /** @returns the exit status */
  run(found: ParsedArguments, service: Connection): Promise<number>;
};

/** A verb that speaks to the service. */
export function serviceVerb(description: ServiceVerb): Verb {
  return {
    ...description,
    options: [...description.options, STATE_OPTION],
    run: async (found) => await description.run(found, new Connection(found)),
  };
}
