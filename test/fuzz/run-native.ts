/** A fuzzer in C or C++: builds and runs a program of native/fuzz, which has libFuzzer in it. */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { corpusOf, foundDirectory, keptInputs, project } from "./paths.ts";
import { collect, type How } from "./run-worker.ts";
import type { NativeTarget, Outcome } from "./target.ts";

const SOURCES = join(project, "native/fuzz");
/** Of one input, seconds: what takes longer hangs. */
const INPUT_SECONDS = 20;
/** Resident memory, MiB, sanitizers' own included. */
const MEMORY_MIB = 1024;
const RUNS_MS = 120_000;
const GRACE_MS = 60_000;

/** @throws Error with the compiler's words. */
export async function buildNative(targets: readonly NativeTarget[]): Promise<void> {
  if (targets.length === 0) return;
  const programs = targets.map(({ name }) => `out/${name}`);
  const words = ["make", "-s", "-j", String(availableParallelism()), "-C", SOURCES, ...programs];
  const { errors, end } = await collect(words, { cwd: project });
  if (end !== "exit code 0") throw new Error(`the fuzzers in native/fuzz cannot be built:\n${errors}`);
}

export async function runNative(target: NativeTarget, how: How): Promise<Outcome> {
  const start = performance.now();
  const found = foundDirectory(target.name);
  const corpus = join(found, "corpus");
  const scratch = join(found, "scratch");
  foundDirectory(join(target.name, "corpus"));
  const kept = keptInputs(target.corpus ?? target.name);
  const keptIn = kept.length > 0 ? [corpusOf(target.corpus ?? target.name)] : [];
  const options = [
    `-max_len=${target.maximumLength}`,
    `-timeout=${INPUT_SECONDS}`,
    `-rss_limit_mb=${MEMORY_MIB}`,
    `-artifact_prefix=${found}/finding-`,
    "-print_final_stats=1",
  ];
  const what =
    how.kind === "input"
      ? [how.file]
      : how.kind === "seconds"
        ? [`-max_total_time=${how.seconds}`, corpus, ...keptIn]
        : // The same in every run of the tests, as far as threads let it be.
          [`-runs=${target.runs + kept.length}`, "-seed=1", scratch, ...keptIn];
  // What it grows in the first directory of those it is given is of this run alone.
  if (how.kind === "runs") {
    rmSync(scratch, { recursive: true, force: true });
    mkdirSync(scratch);
  }
  const before = new Set(readdirSync(found));
  // Sanitizers want their places in memory, which a kernel that scatters it widely may have taken.
  const { errors, end } = await collect(
    ["setarch", "-R", join(SOURCES, "out", target.name), ...options, ...what],
    {
      cwd: project,
      timeout: (how.kind === "seconds" ? how.seconds * 1000 : RUNS_MS) + GRACE_MS,
      killSignal: "SIGKILL",
      env: {
        ...process.env,
        UBSAN_OPTIONS: "halt_on_error=1:print_stacktrace=1",
        TSAN_OPTIONS: `halt_on_error=1:suppressions=${join(SOURCES, "thread-sanitizer.txt")}`,
      },
    },
  );
  const outcome = {
    runs: Number(/number_of_executed_units:\s*(\d+)/.exec(errors)?.[1] ?? (how.kind === "input" ? 1 : 0)),
    seconds: (performance.now() - start) / 1000,
    corpus: kept.length + (how.kind === "seconds" ? readdirSync(corpus).length : 0),
  };
  if (end === "exit code 0") return { ...outcome, findings: [] };
  const written = readdirSync(found).find((name) => name.startsWith("finding-") && !before.has(name));
  const file = written === undefined ? (how.kind === "input" ? how.file : "(none)") : join(found, written);
  return { ...outcome, findings: [{ file, message: `${describe(errors)}\n(${end})` }] };
}

/** What a sanitizer or the fuzzer says, without the statistics around it. */
function describe(errors: string): string {
  const lines = errors.split("\n");
  const at = lines.findIndex((line) => /ERROR:|WARNING: ThreadSanitizer|runtime error:|^fuzz: /.test(line));
  return lines.slice(at < 0 ? -20 : at, at < 0 ? undefined : at + 24).join("\n");
}
