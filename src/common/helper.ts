import { AgentError } from "./errors.ts";
import { isSystemError } from "./system-error.ts";
import { underWay } from "./under-way.ts";

export interface HelperOptions {
  /** The whole process group is killed when it is not done by then. Milliseconds; default 30 000. */
  readonly deadlineMs?: number;
  /** Written to its stdin, which is /dev/null otherwise. */
  readonly input?: string | Uint8Array;
  /** Bytes of stdout and of stderr that are kept; more is an error. Default 1 MiB. */
  readonly maximumOutput?: number;
  /** Its whole environment; ours where absent. */
  readonly env?: Readonly<Record<string, string>>;
  /** Added to its environment; what is undefined is taken out of it. */
  readonly addedEnv?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Exit codes that are no failure; default [0]. */
  readonly acceptedExitCodes?: readonly number[];
  /** Ends it, and its whole process group. */
  readonly signal?: AbortSignal | undefined;
  /** What to do about a failure, such as "install the Debian package zstd". */
  readonly remedy?: string;
}

export interface HelperResult<Output = string> {
  readonly exitCode: number;
  readonly stdout: Output;
  readonly stderr: string;
}

/** Lines of a failed command's stderr that its error tells. */
const reportedLines = 5;

/**
 * Runs a helper program (ip, mkfs, dmsetup, dpkg-deb ...) to its end. Its arguments, input and environment may hold
 * secrets, so errors name the program, its exit code and its last words on stderr only.
 *
 * @param path name in PATH or path of the program.
 * @throws AgentError HELPER_FAILED (its exit code is not accepted, too much output), HELPER_TIMEOUT, SPAWN_FAILED, ABORTED
 */
export async function runHelper(
  path: string,
  args: readonly string[],
  options: HelperOptions = {},
): Promise<HelperResult> {
  const { exitCode, stdout, stderr } = await runHelperForBytes(path, args, options);
  return { exitCode, stdout: text(stdout), stderr };
}

/** As {@link runHelper}, where what it writes is no text. */
export async function runHelperForBytes(
  path: string,
  args: readonly string[],
  options: HelperOptions = {},
): Promise<HelperResult<Buffer>> {
  // Loaded at the first use: it takes 42 ms, and a container's life needs no helper.
  const { execa } = await import("execa");
  const deadlineMs = options.deadlineMs ?? 30_000;
  const accepted = options.acceptedExitCodes ?? [0];
  const remedy = options.remedy === undefined ? "" : `; ${options.remedy}`;
  const aborted = () => new AgentError("ABORTED", `${path} was aborted`, { cause: options.signal?.reason });
  if (options.signal?.aborted) throw aborted();
  const child = execa(path, args, {
    // Its own process group, so that the deadline ends its children too.
    detached: true,
    // execa would end a detached child with us; a group that outlives its deadline is what we end ourselves.
    cleanup: false,
    reject: false,
    stripFinalNewline: false,
    encoding: "buffer",
    maxBuffer: options.maximumOutput ?? 1024 * 1024,
    ...(options.input === undefined ? { stdin: "ignore" as const } : { input: options.input }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...options.env, ...options.addedEnv },
    extendEnv: options.env === undefined,
  });
  let expired = false;
  const end = () => {
    killGroup(child.pid);
    // Pipes that a process outside the group keeps open must not keep us waiting.
    child.stdout?.destroy();
    child.stderr?.destroy();
  };
  const timer = setTimeout(() => {
    expired = true;
    end();
  }, deadlineMs);
  options.signal?.addEventListener("abort", end, { once: true });
  const ended = child.finally(() => {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", end);
  });
  const result = await underWay(`helper ${path} (pid ${child.pid ?? "none"})`, ended);
  if (options.signal?.aborted) throw aborted();
  if (expired)
    throw new AgentError(
      "HELPER_TIMEOUT",
      `${path} was not done within ${deadlineMs} ms and was killed${remedy}`,
    );
  if (child.pid === undefined)
    throw new AgentError(
      "SPAWN_FAILED",
      `cannot start ${path}${remedy === "" ? ": is it installed?" : remedy}`,
      {
        cause: startCause(result),
      },
    );
  if (result.isMaxBuffer) {
    killGroup(child.pid);
    throw new AgentError("HELPER_FAILED", `${path} wrote more output than it may${remedy}`);
  }
  const stderr = text(result.stderr);
  if (result.exitCode === undefined || !accepted.includes(result.exitCode)) {
    const how =
      result.exitCode === undefined
        ? `was killed by ${result.signal}`
        : `failed with exit code ${result.exitCode}`;
    const words = stderr.trimEnd().split("\n").slice(-reportedLines).join("\n");
    throw new AgentError("HELPER_FAILED", `${path} ${how}${words === "" ? "" : `: ${words}`}${remedy}`);
  }
  return { exitCode: result.exitCode, stdout: bytes(result.stdout), stderr };
}

function bytes(view: Uint8Array): Buffer {
  return Buffer.from(view.buffer, view.byteOffset, view.byteLength);
}

function text(view: Uint8Array): string {
  return bytes(view).toString("utf8");
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
