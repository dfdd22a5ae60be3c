/** A TypeScript fuzzer in a process of its own. */
import { type SpawnOptionsWithoutStdio, spawn } from "node:child_process";
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import { currentFile, foundDirectory, project } from "./paths.ts";
import type { Outcome, PropertyTarget } from "./target.ts";

/** Of its heap, MiB: what a fuzzer's inputs make, however many, has to fit. */
const HEAP_MIB = 256;
/** Beyond what it was given: one input at the end, and making a finding smaller. */
const GRACE_MS = 120_000;
/** Enough for the fixed number of runs of `npm test` on a slow machine. */
const RUNS_MS = 120_000;

export type How =
  | { readonly kind: "runs" }
  | { readonly kind: "seconds"; readonly seconds: number }
  | { readonly kind: "input"; readonly file: string };

export async function runWorker(target: PropertyTarget, how: How): Promise<Outcome> {
  foundDirectory(target.name);
  const start = performance.now();
  const value = how.kind === "runs" ? "" : how.kind === "seconds" ? String(how.seconds) : how.file;
  const node = [
    process.execPath,
    `--max-old-space-size=${HEAP_MIB}`,
    join(import.meta.dirname, "worker.ts"),
    how.kind,
    value,
    target.name,
  ];
  const namespaces = ["--mount", "--pid", "--fork", "--net", "--ipc", "--uts", "--kill-child"];
  const isolated = ["unshare", ...namespaces, "sh", join(import.meta.dirname, "isolated-root.sh"), project];
  const limitMs = (how.kind === "seconds" ? how.seconds * 1000 : RUNS_MS) + GRACE_MS;
  const { output, errors, end } = await collect(target.isIsolated === true ? [...isolated, ...node] : node, {
    cwd: project,
    timeout: limitMs,
    killSignal: "SIGKILL",
  });
  const last = output.trimEnd().split("\n").at(-1) ?? "";
  if (end === "exit code 0" && last.startsWith("{")) return JSON.parse(last) as Outcome;
  const isLate = performance.now() - start >= limitMs;
  const message = isLate ? `it hung, and was killed after ${limitMs / 1000} s` : `it ended with ${end}`;
  return {
    runs: 0,
    seconds: (performance.now() - start) / 1000,
    corpus: 0,
    findings: [{ file: keepCurrent(target.name), message: `${message}\n${errors.slice(-2000)}` }],
  };
}

/** What it was at when it ended. */
function keepCurrent(target: string): string {
  const current = currentFile(target);
  if (!existsSync(current)) return "(none: it had not begun)";
  const kept = current.replace(/current\.json$/, `finding-${process.pid}-${Date.now()}.json`);
  renameSync(current, kept);
  return kept;
}

export interface Collected {
  readonly output: string;
  readonly errors: string;
  /** "exit code 1", "signal SIGABRT" */
  readonly end: string;
}

export async function collect(
  [program = "", ...words]: readonly string[],
  options: SpawnOptionsWithoutStdio,
): Promise<Collected> {
  const child = spawn(program, words, { ...options, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output = (output + text).slice(-100_000);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors = (errors + text).slice(-100_000);
  });
  return await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) =>
      resolve({ output, errors, end: signal === null ? `exit code ${code}` : `signal ${signal}` }),
    );
  });
}
