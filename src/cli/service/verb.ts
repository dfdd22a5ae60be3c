import {
  formatOptions,
  type OptionDescription,
  type ParsedArguments,
  parseArguments,
  UsageError,
} from "../arguments.ts";
import { print } from "../output.ts";
import { Connection, HELP_OPTION, STATE_OPTION } from "./connection.ts";

export interface Verb {
  /** What stands behind the options: "NAME", "NAME [--] COMMAND [ARGUMENT...]". */
  readonly operands: string;
  /** Sentences. */
  readonly about: string;
  readonly options: readonly OptionDescription[];
  /** How many operands there must be at least, and at most. */
  readonly count: readonly [number, number];
  /** @returns the exit status */
  run(found: ParsedArguments, service: Connection): Promise<number>;
}

/** What main.ts runs. */
export function verb(name: string, description: Verb): { main(words: readonly string[]): Promise<number> } {
  const options = [...description.options, STATE_OPTION, HELP_OPTION];
  const usage = `Usage: lcow ${name} [OPTIONS] ${description.operands}`.trim();
  return {
    async main(words) {
      const found = parseArguments(options, words);
      if (found.has("help")) {
        await print(`${usage}\n\n${description.about}\n\nOptions:\n${formatOptions(options)}\n`);
        return 0;
      }
      const [least, most] = description.count;
      const { length } = found.operands;
      if (length < least)
        throw new UsageError(`${name} needs ${description.operands}; see: lcow ${name} --help`);
      if (length > most)
        throw new UsageError(`${name}: unexpected ${found.operands[most]}; see: lcow ${name} --help`);
      return await description.run(found, new Connection(found));
    },
  };
}
