/** Measures the agent beside what the machine needs at least: see docs/performance.md. */
import { writeFileSync } from "node:fs";
import { reExecuteInPlainCgroups } from "../test/helpers/plain-cgroup.ts";
import { parseArguments, usage } from "./arguments.ts";
import { exec } from "./benchmarks/exec.ts";
import { helpers } from "./benchmarks/helpers.ts";
import { life } from "./benchmarks/life.ts";
import { memory } from "./benchmarks/memory.ts";
import { properties, requests } from "./benchmarks/requests.ts";
import { start } from "./benchmarks/start.ts";
import { throughput } from "./benchmarks/throughput.ts";
import { uvm } from "./benchmarks/uvm.ts";
import { updateDocs } from "./docs.ts";
import { describeMachine, type Report, toJson, toText } from "./report.ts";
import { type Benchmark, withWorld } from "./world.ts";

/** On its own, since it needs a virtual machine. */
const inUtilityVm = { uvm };
const onThisMachine: Readonly<Record<string, Benchmark>> = {
  start,
  life,
  exec,
  requests,
  properties,
  throughput,
  memory,
  helpers,
};

async function main(): Promise<void> {
  const parsed = parseArguments(process.argv.slice(2), Object.keys(onThisMachine));
  if (parsed === "help") {
    process.stdout.write(usage.replace("NAMES", Object.keys(onThisMachine).join(", ")));
    return;
  }
  // crun works there only, and everything is to be measured in the same place.
  if (reExecuteInPlainCgroups()) return;
  const { quick, json, docs } = parsed;
  const benchmarks: Readonly<Record<string, Benchmark>> = parsed.uvm ? inUtilityVm : onThisMachine;
  const only = (parsed.uvm ? undefined : parsed.only) ?? Object.keys(benchmarks);
  const measurements = await withWorld({ quick }, async (world) => {
    const all = [];
    for (const name of only) {
      world.progress(`measuring ${name}`);
      all.push(...((await benchmarks[name]?.(world)) ?? []));
    }
    return all;
  });
  const report: Report = { date: new Date().toISOString(), quick, machine: describeMachine(), measurements };
  process.stdout.write(toText(report));
  if (json !== undefined) writeFileSync(json, toJson(report));
  if (docs) updateDocs(report, parsed.uvm ? "bench --uvm" : "bench");
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
