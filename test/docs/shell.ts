/** The commands of a document's fences, and running them as they stand there. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { spawn as spawnPty } from "node-pty";
import { type Fence, root } from "./markdown.ts";

export interface Command {
  readonly where: string;
  readonly line: string;
  /** What the document shows below it. */
  readonly shown: string;
}

/** Of a "console" block those behind a "# " prompt; of others each line, continued ones joined. */
export function commandsOf({ where, language, text }: Fence): Command[] {
  const withoutComment = (line: string) => line.replace(/ {2,}# .*$/, "").trimEnd();
  if (language !== "console") {
    const lines = text.replaceAll("\\\n", " ").split("\n").map(withoutComment);
    return lines.filter((line) => line.trim() !== "").map((line) => ({ where, line, shown: "" }));
  }
  const [, ...parts] = `\n${text}`.split("\n# ");
  return parts.map((part) => {
    const [line = "", ...shown] = part.split("\n");
    return { where, line: withoutComment(line), shown: shown.join("\n").trim() };
  });
}

/** Whether a person has to put something in before it can be run. */
export function hasPlaceholder({ line }: Command): boolean {
  return /(^|[ =:])(DIR|FILE|NAME|VERB)\b/.test(line);
}

export interface Result {
  readonly status: number | null;
  readonly output: string;
}

export interface Surroundings {
  readonly environment: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
}

/** Runs a command line in the project's directory. @param input typed or piped in, as it asks for */
export async function run(line: string, input: string, around: Surroundings): Promise<Result> {
  const child = spawn("bash", ["-c", line], {
    cwd: root,
    env: around.environment,
    timeout: around.timeoutMs,
    killSignal: "SIGKILL",
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk));
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const [status] = (await once(child, "close")) as [number | null];
  return { status, output };
}

/** The same on a terminal; types `exit` at each shell's prompt. */
export async function runOnTerminal(line: string, around: Surroundings): Promise<Result> {
  const terminal = spawnPty("bash", ["-c", line], { cwd: root, env: around.environment });
  const timer = setTimeout(() => terminal.kill("SIGKILL"), around.timeoutMs);
  let output = "";
  terminal.onData((text) => {
    const before = output;
    output += text;
    if (/[#$] (\x1b\[6n)?$/.test(output) && !/[#$] (\x1b\[6n)?$/.test(before)) terminal.write("exit\r");
  });
  const { promise, resolve } = Promise.withResolvers<number>();
  terminal.onExit(({ exitCode }) => resolve(exitCode));
  const status = await promise;
  clearTimeout(timer);
  return { status, output };
}

/** Runs what goes on for ever until it says something, then asks it to end. */
export async function runUntilItSpeaks(line: string, around: Surroundings): Promise<Result> {
  const child = spawn("bash", ["-c", `exec ${line}`], { cwd: root, env: around.environment });
  const timer = setTimeout(() => child.kill("SIGKILL"), around.timeoutMs);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk;
      child.kill("SIGTERM");
    });
  }
  const [status] = (await once(child, "close")) as [number | null];
  clearTimeout(timer);
  return { status, output };
}

/** Whether that is what was shown, but for numbers (versions, times, sizes) and the width of columns. */
export function isShown(output: string, shown: string): boolean {
  const pattern = shown
    .replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")
    .replaceAll(/\d+/g, "\\d+")
    .replaceAll(/\s+/g, "\\s+");
  return new RegExp(`^${pattern}\\s*$`).test(output.trim());
}
