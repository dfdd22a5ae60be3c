import { AgentError } from "../common/errors.ts";
import { isSystemError } from "./system-error.ts";

export interface CommandOptions {
  /** The whole process group is killed when it is not done by then. Milliseconds; default 30 000. */
  readonly deadlineMs?: number;
  /** Written to its stdin, which is /dev/null otherwise. */
  readonly input?: string | Uint8Array;
  /** Bytes of stdout and of stderr that are kept; more is an error. Default 1 MiB. */
  readonly maximumOutput?: number;
  /** Its whole environment; ours where absent. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Exit codes that are no failure; default [0]. */
  readonly acceptedExitCodes?: readonly number[];
}

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Lines of a failed command's stderr that its error tells. */
const reportedLines = 5;

/**
 * Runs one of the seldom helpers (ip, mkfs, dmsetup ...) to its end. Its arguments, input and environment may hold
 * secrets, so errors name the program, its exit code and its last words on stderr only.
 *
 * @param path name in PATH or path of the program.
 * @throws AgentError HELPER_FAILED (its exit code is not accepted, too much output), HELPER_TIMEOUT, SPAWN_FAILED
 */
export async function runCommand(
  path: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandResult> {
  // Loaded at the first use: it takes 42 ms, and a container's life needs no helper.
  const { execa } = await import("execa");
  const deadlineMs = options.deadlineMs ?? 30_000;
  const accepted = options.acceptedExitCodes ?? [0];
  const child = execa(path, args, {
    // Its own process group, so that the deadline ends its children too.
    detached: true,
    // execa would end a detached child with us; a group that outlives its deadline is what we end ourselves.
    cleanup: false,
    reject: false,
    stripFinalNewline: false,
    maxBuffer: options.maximumOutput ?? 1024 * 1024,
    ...(options.input === undefined ? { stdin: "ignore" as const } : { input: options.input }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env, extendEnv: false }),
  });
  let expired = false;
  const timer = setTimeout(() => {
    expired = true;
    killGroup(child.pid);
    // Pipes that a process outside the group keeps open must not keep us waiting.
    child.stdout?.destroy();
    child.stderr?.destroy();
  }, deadlineMs);
  const result = await child.finally(() => clearTimeout(timer));
  if (expired)
    throw new AgentError("HELPER_TIMEOUT", `${path} was not done within ${deadlineMs} ms and was killed`);
  if (child.pid === undefined)
    throw new AgentError("SPAWN_FAILED", `cannot start ${path}: is it installed?`, {
      cause: startCause(result),
    });
  if (result.isMaxBuffer) {
    killGroup(child.pid);
    throw new AgentError("HELPER_FAILED", `${path} wrote more output than it may`);
  }
  if (result.exitCode === undefined || !accepted.includes(result.exitCode)) {
    const how =
      result.exitCode === undefined
        ? `was killed by ${result.signal}`
        : `failed with exit code ${result.exitCode}`;
    const words = result.stderr.trimEnd().split("\n").slice(-reportedLines).join("\n");
    throw new AgentError("HELPER_FAILED", words === "" ? `${path} ${how}` : `${path} ${how}: ${words}`);
  }
  return { exitCode: result.exitCode, stdout: result.stdout, stderr: result.stderr };
}

/** The errno alone: execa's own message tells the whole command line. */
function startCause(result: { code?: string | undefined }): Error | undefined {
  return result.code === undefined ? undefined : new Error(result.code);
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (!isSystemError(error, "ESRCH")) throw error;
  }
}
