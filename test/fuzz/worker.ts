/**
 * worker.ts seconds|runs|input VALUE TARGET: one TypeScript fuzzer, in a process of its own so that what kills or hangs
 * it is a finding as well. Writes the outcome, JSON, as its last line.
 */
import { readFileSync } from "node:fs";
import { checkOne, report, runProperty } from "./run-property.ts";
import type { Outcome } from "./target.ts";
import { targetNamed } from "./targets.ts";

async function run(how: string, value: string, name: string): Promise<Outcome> {
  const target = targetNamed(name);
  if (target.kind !== "property") throw new Error(`${name} is no fuzzer in TypeScript`);
  if (how === "seconds") return await runProperty(target, { seconds: Number(value) });
  if (how === "runs") return await runProperty(target, { runs: value === "" ? target.runs : Number(value) });
  const start = performance.now();
  let findings: Outcome["findings"] = [];
  try {
    await checkOne(await target.load(), JSON.parse(readFileSync(value, "utf8")) as never);
  } catch (error) {
    findings = [{ file: value, message: report(error) }];
  }
  return { runs: 1, seconds: (performance.now() - start) / 1000, corpus: 1, findings };
}

const [how = "", value = "", name = ""] = process.argv.slice(2);
process.stdout.write(`${JSON.stringify(await run(how, value, name))}\n`, () => process.exit(0));
