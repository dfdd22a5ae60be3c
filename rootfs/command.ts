import { spawn } from "node:child_process";
import { AgentError } from "../src/common/errors.ts";

/**
 * Runs a tool of the machine and returns its standard output.
 *
 * @param remedy what to do when the tool is missing, e.g. "install the Debian package zstd".
 * @throws AgentError SPAWN_FAILED, HELPER_FAILED, HELPER_TIMEOUT
 */
export function run(
  command: readonly [string, ...string[]],
  options: {
    remedy: string;
    input?: Buffer | string;
    cwd?: string;
    env?: Record<string, string | undefined>;
    timeoutMs?: number;
  },
): Promise<Buffer> {
  const [program, ...args] = command;
  return new Promise((resolve, reject) => {
    const timeoutMs = options.timeoutMs ?? 300_000;
    const child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...process.env, LC_ALL: "C", ...options.env },
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    const output: Buffer[] = [];
    const errors: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => output.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
    child.on("error", (cause) =>
      reject(new AgentError("SPAWN_FAILED", `${program} cannot be run; ${options.remedy}`, { cause })),
    );
    child.on("close", (code, signal) => {
      if (code === 0) return resolve(Buffer.concat(output));
      const told = Buffer.concat(errors).toString().trim().split("\n").slice(-6).join("; ");
      const late = signal === "SIGKILL";
      const how = late ? `took longer than ${timeoutMs} ms` : `failed (${signal ?? `exit code ${code}`})`;
      reject(
        new AgentError(
          late ? "HELPER_TIMEOUT" : "HELPER_FAILED",
          `${program} ${args[0] ?? ""} ${how}: ${told}; ${options.remedy}`,
        ),
      );
    });
    // A tool that ends without reading its input is judged by its exit code.
    child.stdin.on("error", () => undefined);
    child.stdin.end(options.input ?? "");
  });
}
