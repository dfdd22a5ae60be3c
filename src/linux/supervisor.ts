import { once } from "node:events";
import {
  becomeSubreaper,
  closeFd,
  pidfdOpen,
  pidfdSendSignal,
  reapOrphan,
  type SpawnOptions,
  spawn,
  waitPidfd,
} from "../../native/hvsock/index.ts";
import { AgentError } from "../common/errors.ts";
import { packageRoot } from "../common/installation.ts";
import { isSystemError } from "../common/system-error.ts";
import { ChildList } from "./child-pids.ts";
import { ForeignChildren } from "./foreign-children.ts";
import { readProcessStatus } from "./proc.ts";

/** How a process ended: one of the two is set; neither when its code was lost, being no child of ours. */
export interface ExitStatus {
  readonly code: number | null;
  readonly signal: number | null;
}

/** As a shell tells it: 128+N for a process that signal N killed; 255 when the code was lost. */
export function exitCodeOf(status: ExitStatus): number {
  if (status.signal !== null) return 128 + status.signal;
  return status.code ?? 255;
}

export interface SupervisedProcess {
  readonly pid: number;
  /** Settles when it has exited and is reaped; never rejects. */
  readonly exited: Promise<ExitStatus>;
  readonly hasExited: boolean;
  /** By pidfd, so never to a process that took over its pid. @returns false when it has exited. */
  signal(signal: number): boolean;
}

/** A span of time in which processes that a runtime leaves behind are kept for their adopter. */
export interface Claim {
  /**
   * Takes over a process that became our child when its parent exited; also one that has exited since the claim
   * was made.
   * @throws AgentError PROCESS_NOT_FOUND for one that is no child of ours, or has an owner already
   */
  adopt(pid: number): SupervisedProcess;
  /** Ends the claim; the codes that nobody asked for are forgotten. */
  release(): void;
}

/**
 * Where the living one of this process is known, whichever copy of this package made it: a second would reap the
 * children that the first waits for.
 */
const LIVING = Symbol.for("lcow-gcs.supervisor");
const everywhere = globalThis as { [LIVING]?: { readonly owner: Supervisor; readonly madeBy: string } };

/**
 * The one owner of this process's children. It is a subreaper, so orphans come to it; it reaps them all, and knows
 * every exit of its own children through a pidfd each. What it did not start and did not adopt, and what libuv
 * waits for (see ForeignChildren), is told apart: only the rest is reaped. One per process.
 */
export class Supervisor {
  readonly #processes = new Map<number, Supervised>();
  readonly #claims = new Set<KeptClaim>();
  readonly #foreign = new ForeignChildren();
  readonly #children: ChildList;
  readonly #onChildSignal = (): void => this.#scheduleSweep();
  readonly #onLost: (pid: number, cause: unknown) => void;
  #started = 0;
  #sweepScheduled = false;
  #isClosed = false;

  /**
   * @param onLost told when the wait for a process failed, and with it its exit code.
   * @throws AgentError INVALID_STATE where this process has one, made by this or by another copy of the package
   */
  constructor(onLost: (pid: number, cause: unknown) => void = () => {}) {
    const living = everywhere[LIVING];
    if (living) {
      throw new AgentError(
        "INVALID_STATE",
        `this program has a Supervisor, made by the lcow-gcs in ${living.madeBy}, and it owns all children: share it, or close() it first`,
      );
    }
    this.#onLost = onLost;
    becomeSubreaper();
    this.#children = new ChildList();
    everywhere[LIVING] = { owner: this, madeBy: packageRoot };
    process.on("SIGCHLD", this.#onChildSignal);
    // Orphans that died before there was a handler.
    this.#scheduleSweep();
  }

  /** @throws AgentError SPAWN_FAILED */
  async spawn(options: SpawnOptions): Promise<SupervisedProcess> {
    const { pid, pidfd } = await spawn(options);
    this.#started++;
    return this.#register(pid, pidfd);
  }

  /** To be made before the runtime starts that will leave a process behind. */
  claim(): Claim {
    const claim = new KeptClaim(
      (pid, kept) => this.#adopt(pid, kept),
      () => this.#claims.delete(claim),
    );
    this.#claims.add(claim);
    return claim;
  }

  /** Programs started so far by this process, here or through node:child_process; adopted ones do not count. */
  get startedCount(): number {
    return this.#started + this.#foreign.announced;
  }

  /** Pids of the living processes started or adopted here. */
  pids(): number[] {
    return [...this.#processes.keys()];
  }

  /** Pids of the children that came here as orphans and that nobody has adopted; zombies may be among them. */
  orphans(): number[] {
    const foreign = this.#foreign.pids();
    return this.#children.pids().filter((pid) => !this.#processes.has(pid) && !foreign.has(pid));
  }

  /**
   * Kills what came here as an orphan, and what that leaves behind in turn: for the end of this process, whose they are.
   * @returns those that are still there after `timeoutMs`: in the kernel, where no signal reaches them
   */
  async endOrphans(timeoutMs: number): Promise<number[]> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const orphans = this.orphans();
      const left = deadline - performance.now();
      if (orphans.length === 0 || left <= 0) return orphans;
      // A child that nobody has reaped keeps its pid, and none is reaped between the list and this.
      for (const pid of orphans) process.kill(pid, "SIGKILL");
      // When the time is over the next turn says so.
      await once(process, "SIGCHLD", { signal: AbortSignal.timeout(Math.ceil(left)) }).catch(() => undefined);
      // The sweep that it causes goes first.
      await new Promise(setImmediate);
    }
  }

  /** Stops reaping. Exits of known processes still settle. */
  close(): void {
    if (everywhere[LIVING]?.owner === this) delete everywhere[LIVING];
    process.off("SIGCHLD", this.#onChildSignal);
    this.#foreign.close();
    this.#isClosed = true;
    this.#children.close();
  }

  #adopt(pid: number, kept: ExitStatus | undefined): SupervisedProcess {
    if (this.#processes.has(pid))
      throw new AgentError("PROCESS_NOT_FOUND", `process ${pid} is another one, which has its owner`);
    // A living process of that pid is the one that was left to us only if it is our child.
    const status = readProcessStatus(pid);
    if (status?.parentPid !== process.pid) {
      if (kept) return new Ended(pid, kept);
      const is = status === undefined ? "has gone, and nobody kept its exit code" : "is no child of this one";
      throw new AgentError("PROCESS_NOT_FOUND", `process ${pid} ${is}`);
    }
    let pidfd: number;
    try {
      pidfd = pidfdOpen(pid);
    } catch (cause) {
      if (!isNoSuchProcess(cause)) throw cause;
      if (kept) return new Ended(pid, kept);
      throw new AgentError("PROCESS_NOT_FOUND", `process ${pid} has gone, and nobody kept its exit code`, {
        cause,
      });
    }
    return this.#register(pid, pidfd);
  }

  #register(pid: number, pidfd: number): SupervisedProcess {
    const forget = () => {
      if (this.#processes.get(pid) === supervised) this.#processes.delete(pid);
    };
    const supervised = new Supervised(pid, pidfd, forget, this.#onLost);
    this.#processes.set(pid, supervised);
    return supervised;
  }

  /** Once a turn of the event loop is enough for any number of signals, which the kernel merges anyway. */
  #scheduleSweep(): void {
    if (this.#sweepScheduled) return;
    this.#sweepScheduled = true;
    setImmediate(() => {
      this.#sweepScheduled = false;
      this.#sweep();
    }).unref();
  }

  #sweep(): void {
    if (this.#isClosed) return;
    for (const pid of this.orphans()) {
      const found = reapOrphan(pid);
      if (found.state === "exited")
        for (const claim of this.#claims) claim.keep(pid, { code: found.code, signal: found.signal });
    }
  }
}

class Supervised implements SupervisedProcess {
  readonly pid: number;
  readonly exited: Promise<ExitStatus>;
  #pidfd: number;

  constructor(pid: number, pidfd: number, forget: () => void, lost: (pid: number, cause: unknown) => void) {
    this.pid = pid;
    this.#pidfd = pidfd;
    // As with Node's own child processes, one that runs keeps the event loop alive.
    this.exited = waitPidfd(pidfd, { keepsLoopAlive: true, owned: true })
      .catch((cause: unknown): ExitStatus => {
        lost(pid, cause);
        return { code: null, signal: null };
      })
      .then((status) => {
        this.#pidfd = -1;
        closeFd(pidfd);
        forget();
        return status;
      });
  }

  get hasExited(): boolean {
    return this.#pidfd < 0;
  }

  signal(signal: number): boolean {
    return this.#pidfd >= 0 && pidfdSendSignal(this.#pidfd, signal);
  }
}

/** Died between the runtime's exit and its adoption. */
class Ended implements SupervisedProcess {
  readonly pid: number;
  readonly exited: Promise<ExitStatus>;
  readonly hasExited = true;

  constructor(pid: number, status: ExitStatus) {
    this.pid = pid;
    this.exited = Promise.resolve(status);
  }

  signal(): boolean {
    return false;
  }
}

class KeptClaim implements Claim {
  readonly #kept = new Map<number, ExitStatus>();
  readonly #adopt: (pid: number, kept: ExitStatus | undefined) => SupervisedProcess;
  readonly #released: () => void;

  constructor(adopt: (pid: number, kept: ExitStatus | undefined) => SupervisedProcess, released: () => void) {
    this.#adopt = adopt;
    this.#released = released;
  }

  keep(pid: number, status: ExitStatus): void {
    this.#kept.set(pid, status);
  }

  adopt(pid: number): SupervisedProcess {
    return this.#adopt(pid, this.#kept.get(pid));
  }

  release(): void {
    this.#kept.clear();
    this.#released();
  }
}

function isNoSuchProcess(error: unknown): boolean {
  if (isSystemError(error, "ESRCH")) return true;
  return error instanceof AgentError && isSystemError(error.cause, "ESRCH");
}
