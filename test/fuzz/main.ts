/**
 * npm run fuzz -- [--seconds N] [TARGET...]       each target for so long; 60 s
 * npm run fuzz -- --quick [TARGET...]             as in npm test: the kept inputs, and a fixed number of new ones
 * npm run fuzz -- TARGET --input FILE             one input again
 * npm run fuzz -- --list
 *
 * One line a target; the exit status is 1 when anything was found.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { describeError } from "../../src/common/errors.ts";
import { project } from "./paths.ts";
import { buildNative, runNative } from "./run-native.ts";
import { type How, runWorker } from "./run-worker.ts";
import type { Outcome, Target } from "./target.ts";
import { TARGETS, targetNamed } from "./targets.ts";

const DEFAULT_SECONDS = 60;

interface Wish {
  readonly targets: readonly Target[];
  readonly how: How;
}

/** @throws Error naming what is wrong */
function parse(words: readonly string[]): Wish | "list" {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      seconds: { type: "string" },
      quick: { type: "boolean" },
      input: { type: "string" },
      list: { type: "boolean" },
    },
  });
  if (values.list === true) return "list";
  const targets =
    positionals.length === 0
      ? TARGETS.filter((target) => target.isPlanted !== true)
      : positionals.map(targetNamed);
  if (values.input !== undefined) {
    if (positionals.length !== 1) throw new Error("--input FILE is for one target: name it");
    return { targets, how: { kind: "input", file: resolve(values.input) } };
  }
  if (values.quick === true) return { targets, how: { kind: "runs" } };
  const seconds = Number(values.seconds ?? DEFAULT_SECONDS);
  if (!Number.isSafeInteger(seconds) || seconds < 1)
    throw new Error(`--seconds ${values.seconds}: not a whole number of seconds from 1`);
  return { targets, how: { kind: "seconds", seconds } };
}

function tell({ name }: Target, { runs, seconds, corpus, findings }: Outcome): void {
  const found = findings.length === 0 ? "no findings" : `${findings.length} FINDING`;
  console.log(
    `${name.padEnd(20)} ${String(runs).padStart(9)} runs ${seconds.toFixed(1).padStart(7)} s ${String(corpus).padStart(5)} in corpus  ${found}`,
  );
  for (const { file, message } of findings) {
    console.log(message.replace(/^/gm, "    "));
    const shown = file.replace(`${project}/`, "");
    console.log(`    its input: ${shown}\n    again: npm run fuzz -- ${name} --input ${shown}`);
  }
}

async function main(): Promise<number> {
  let wish: Wish | "list";
  try {
    wish = parse(process.argv.slice(2));
  } catch (error) {
    console.error(`fuzz: ${describeError(error)}`);
    return 2;
  }
  if (wish === "list") {
    for (const { name, what, isPlanted } of TARGETS)
      if (!isPlanted) console.log(`${name.padEnd(20)} ${what}`);
    return 0;
  }
  const { targets, how } = wish;
  await buildNative(targets.filter((target) => target.kind === "native"));
  let status = 0;
  for (const target of targets) {
    const outcome = await (target.kind === "native" ? runNative(target, how) : runWorker(target, how));
    tell(target, outcome);
    if (outcome.findings.length > 0) status = 1;
  }
  return status;
}

process.exitCode = await main();
