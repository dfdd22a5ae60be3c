import { AgentError } from "../../src/common/errors.ts";
import { binding, type WaitState } from "./binding.ts";

export type { WaitState } from "./binding.ts";

export interface SpawnOptions {
  /** A path, or a name that is looked up in the PATH of `env` (ours when that has none). */
  readonly path: string;
  /** argv, the program's name included. Default: `[path]`. */
  readonly args?: readonly string[];
  /** The whole environment. Default: ours. */
  readonly env?: Readonly<Record<string, string | undefined>> | readonly string[];
  readonly cwd?: string;
  /** stdin, stdout, stderr; null is /dev/null. They are duplicated at once: the caller may close its own. */
  readonly stdio?: readonly [number | null, number | null, number | null];
  /** setsid(2). */
  readonly newSession?: boolean;
  /** Makes stdin the controlling terminal of the new session. */
  readonly controllingTerminal?: boolean;
  /**
   * Neither it nor anything it starts can make a socket of the family AF_VSOCK, which knows no namespaces, or an
   * io_uring, which makes sockets past such a ban. Needs CAP_SYS_ADMIN and a kernel with seccomp filters.
   */
  readonly noHostSockets?: boolean;
}

export interface SpawnedProcess {
  readonly pid: number;
  /** Close-on-exec; the caller owns it. */
  readonly pidfd: number;
}

/**
 * Starts a program without blocking the event loop. The child has no descriptor but its three, and default,
 * unblocked signals. The caller waits for it (waitPidfd), or it stays a zombie.
 *
 * @throws AgentError SPAWN_FAILED whose cause has the errno's `code` (ENOENT, EACCES ...) and `syscall` (the
 *   step that failed: execve, chdir, ioctl(TIOCSCTTY) ...). No process is left then.
 */
export function spawn(options: SpawnOptions): Promise<SpawnedProcess> {
  const { promise, resolve, reject } = Promise.withResolvers<SpawnedProcess>();
  const env = environmentOf(options);
  const fail = (cause: unknown) => {
    const where = options.cwd === undefined ? "" : ` in ${options.cwd}`;
    reject(new AgentError("SPAWN_FAILED", `cannot start ${options.path}${where}`, { cause }));
  };
  try {
    binding.spawn(
      candidatesOf(options.path, env),
      options.args ?? [options.path],
      env,
      options.cwd ?? "",
      options.stdio ?? [null, null, null],
      options.newSession ?? false,
      options.controllingTerminal ?? false,
      options.noHostSockets ?? false,
      (error, pid, pidfd) => {
        if (pid === undefined || pidfd === undefined) fail(error);
        else resolve({ pid, pidfd });
      },
    );
  } catch (error) {
    fail(error);
  }
  return promise;
}

function environmentOf({ env = process.env }: SpawnOptions): readonly string[] {
  if (Array.isArray(env)) return env;
  return Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
}

function candidatesOf(path: string, env: readonly string[]): string[] {
  if (path.includes("/")) return [path];
  const named = env.find((entry) => entry.startsWith("PATH="))?.slice("PATH=".length);
  const search = named ?? process.env.PATH ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  // An empty element means the working directory, as in execvp(3).
  return search.split(":").map((directory) => (directory === "" ? `./${path}` : `${directory}/${path}`));
}

/** @throws Error with code ESRCH when there is no such process. The caller owns the descriptor. */
export function pidfdOpen(pid: number): number {
  return binding.pidfdOpen(pid);
}

/**
 * Signals the very process that the descriptor was made for, never one that took over its pid.
 * @param signal Linux number; 0 only looks.
 * @returns false when it has exited, reaped or not.
 */
export function pidfdSendSignal(pidfd: number, signal: number): boolean {
  return binding.pidfdSendSignal(pidfd, signal);
}

/** How a process ended: one of both is set. Both are null for a process that was not our child. */
export interface ProcessExit {
  readonly code: number | null;
  readonly signal: number | null;
}

export interface WaitPidfdOptions {
  /** Whether the wait keeps the event loop alive; default false. */
  readonly keepsLoopAlive?: boolean;
}

/**
 * Waits for the end of a process and reaps it when it is our child (made by us, or inherited as subreaper).
 * Costs no thread. The descriptor stays the caller's and may be closed meanwhile.
 *
 * Of two waits for one process the second gets nulls: keep one.
 */
export function waitPidfd(pidfd: number, options: WaitPidfdOptions = {}): Promise<ProcessExit> {
  const { promise, resolve, reject } = Promise.withResolvers<ProcessExit>();
  // Its own duplicate: the loop allows one watch per descriptor, and the caller may close its own.
  const watched = binding.duplicateFd(pidfd);
  const poll = new binding.Poll(watched, (events) => {
    let exit: WaitState;
    try {
      if (events < 0) throw binding.systemError("poll", -events);
      exit = binding.reapPidfd(watched);
      if (exit.state === "running") return;
    } catch (error) {
      finish();
      reject(error);
      return;
    }
    finish();
    resolve(
      exit.state === "exited" ? { code: exit.code, signal: exit.signal } : { code: null, signal: null },
    );
  });
  const finish = () => {
    poll.close();
    binding.closeFd(watched);
  };
  poll.setKeepsLoopAlive(options.keepsLoopAlive ?? false);
  poll.start(binding.READABLE);
  return promise;
}

/** Reaps one child if it has exited; never blocks. */
export function reapOrphan(pid: number): WaitState {
  return binding.reapPid(pid);
}
