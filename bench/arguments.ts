/** The bench's command line. */
import { parseArgs } from "node:util";

export interface Arguments {
  readonly quick: boolean;
  /** File for the results, for machines. */
  readonly json: string | undefined;
  /** Names of benchmarks; undefined for all. */
  readonly only: readonly string[] | undefined;
  readonly uvm: boolean;
  /** Write docs/performance.md and its plot. */
  readonly docs: boolean;
}

export const usage = `npm run bench [-- OPTIONS]

  --quick           fewer rounds: two minutes instead of ten, and noisier
  --only NAME,...   some benchmarks only: NAMES
  --json FILE       write the results for machines, too
  --docs            put the table and the plot into docs/performance.md
  --uvm             the utility VM instead: stages of its boot, size of its image by part

Needs root, runc and crun.
`;

/** @throws Error saying what is wrong. */
export function parseArguments(argv: readonly string[], names: readonly string[]): Arguments | "help" {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: "boolean", default: false },
      json: { type: "string" },
      only: { type: "string" },
      uvm: { type: "boolean", default: false },
      docs: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return "help";
  const only = values.only?.split(",");
  const unknown = only?.filter((name) => !names.includes(name)) ?? [];
  if (unknown.length > 0)
    throw new Error(`no benchmark is named ${unknown.join(", ")}; there are ${names.join(", ")}`);
  return { quick: values.quick, json: values.json, only, uvm: values.uvm, docs: values.docs };
}
