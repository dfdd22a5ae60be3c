import { AgentError } from "../../src/common/errors.ts";
import { binding, type NativePoll, type WaitState } from "./binding.ts";
import { closeFd } from "./descriptors.ts";

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
  /** A container runtime's call, which waits for no other program's start. Default false. */
  readonly isRuntime?: boolean;
  /** Milliseconds until a start that hangs before the program runs is given up; default 30 000. */
  readonly timeoutMs?: number;
}

/** A program or a directory on a share whose server does not answer holds its start up for no longer than this. */
export const defaultSpawnTimeoutMs = 30_000;
/** SIGKILL. */
const killSignal = 9;

export interface SpawnedProcess {
  readonly pid: number;
  /** Close-on-exec; the caller owns it. */
  readonly pidfd: number;
}

/**
 * Starts a program without blocking the event loop. The child has no descriptor but its three, default, unblocked
 * signals, and a soft limit of at most 1024 open files. The caller waits for it (waitPidfd), or it stays a zombie.
 *
 * @throws AgentError SPAWN_FAILED whose cause has the errno's `code` (ENOENT, EACCES ...) and `syscall` (the
 *   step that failed: execve, chdir, ioctl(TIOCSCTTY) ...), or is a TIMEOUT. No process is left then, or, after the
 *   TIMEOUT, none that will ever run the program.
 */
export function spawn(options: SpawnOptions): Promise<SpawnedProcess> {
  const { promise, resolve, reject } = Promise.withResolvers<SpawnedProcess>();
  const { timeoutMs = defaultSpawnTimeoutMs } = options;
  const env = environmentOf(options);
  let isGivenUp = false;
  let timer: NodeJS.Timeout | undefined;
  const fail = (cause: unknown) => {
    const where = options.cwd === undefined ? "" : ` in ${options.cwd}`;
    reject(new AgentError("SPAWN_FAILED", `cannot start ${options.path}${where}`, { cause }));
  };
  try {
    const giveUp = binding.spawn(
      candidatesOf(options.path, env),
      options.args ?? [options.path],
      env,
      options.cwd ?? "",
      options.stdio ?? [null, null, null],
      options.newSession ?? false,
      options.controllingTerminal ?? false,
      options.noHostSockets ?? false,
      options.isRuntime ?? false,
      (error, pid, pidfd) => {
        clearTimeout(timer);
        if (pid === undefined || pidfd === undefined) fail(error);
        else if (isGivenUp) bury(pidfd);
        else resolve({ pid, pidfd });
      },
    );
    timer = setTimeout(() => {
      isGivenUp = true;
      giveUp();
      const why = `it did not run within ${timeoutMs} ms: does the file system answer that has it?`;
      fail(new AgentError("TIMEOUT", why));
    }, timeoutMs);
  } catch (error) {
    fail(error);
  }
  return promise;
}

/** Ends one that nobody waits for any more. It may have come to run its program in the moment of giving up. */
function bury(pidfd: number): void {
  pidfdSendSignal(pidfd, killSignal);
  const forget = () => closeFd(pidfd);
  waitPidfd(pidfd, { owned: true }).then(forget, forget);
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
  /**
   * The descriptor stays open until the wait has settled, and nobody else waits for it: it is watched itself, so that
   * a process whose pidfd is there is waited for though there is no room for another descriptor. Default false.
   */
  readonly owned?: boolean;
}

/**
 * Waits for the end of a process and reaps it when it is our child (made by us, or inherited as subreaper).
 * Costs no thread. The descriptor stays the caller's and, unless it is `owned`, may be closed meanwhile.
 *
 * Of two waits for one process the second gets nulls: keep one.
 *
 * @throws Error with code EMFILE, EBADF ... where it cannot be watched
 */
export async function waitPidfd(pidfd: number, options: WaitPidfdOptions = {}): Promise<ProcessExit> {
  const { promise, resolve, reject } = Promise.withResolvers<ProcessExit>();
  // Its own duplicate: the loop allows one watch per descriptor, and the caller may close its own.
  const watched = options.owned ? pidfd : binding.duplicateFd(pidfd);
  let poll: NativePoll | undefined;
  try {
    poll = new binding.Poll(watched, (events) => {
      try {
        if (events < 0) throw binding.systemError("poll", -events);
        const exit = binding.reapPidfd(watched);
        if (exit.state === "running") return;
        resolve(
          exit.state === "exited" ? { code: exit.code, signal: exit.signal } : { code: null, signal: null },
        );
      } catch (error) {
        reject(error);
      }
      poll?.stop();
    });
    poll.setKeepsLoopAlive(options.keepsLoopAlive ?? false);
    poll.start(binding.READABLE);
    return await promise;
  } finally {
    poll?.close();
    if (!options.owned) binding.closeFd(watched);
  }
}

/**
 * Reaps an orphan that this process inherited as subreaper, if it has exited; never blocks. What spawn() started is none,
 * also before anybody knows its pid.
 */
export function reapOrphan(pid: number): WaitState {
  return binding.reapPid(pid);
}
