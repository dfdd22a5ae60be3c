/** Child processes of the bench: started, waited for, and never outlived. */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { text } from "node:stream/consumers";

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
}

const running = new Set<ChildProcess>();

/**
 * Runs a program to its end.
 * @param stdio its standard streams; default: nothing in, output kept.
 * @throws Error with its last words when it fails.
 */
export async function run(
  program: string,
  args: readonly string[],
  stdio: StdioOptions = ["ignore", "pipe", "pipe"],
): Promise<CommandResult> {
  const child = spawn(program, args, { stdio });
  running.add(child);
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  try {
    const [code, stdout, stderr] = await Promise.all([
      ended,
      child.stdout === null ? "" : text(child.stdout),
      child.stderr === null ? "" : text(child.stderr),
    ]);
    if (code !== 0) throw new Error(`${program} ${args.join(" ")} failed (${code}): ${stderr || stdout}`);
    return { stdout, stderr };
  } finally {
    running.delete(child);
  }
}

/** Kills what is left after a failure. */
export function killRunning(): void {
  for (const child of running) child.kill("SIGKILL");
}
