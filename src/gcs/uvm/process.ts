/** One process that the host asked for: a container's init, an exec in it, or a process of the VM itself. */
import { AgentError } from "../../common/errors.ts";
import type { Process } from "../../runtime/runtime.ts";
import type { RelayProgress } from "../../stdio/drain.ts";
import type { PipeRelay } from "../../stdio/pipe-relay.ts";
import type { TtyRelay } from "../../stdio/tty-relay.ts";

/** What this room needs of a process; the runtime's fits, and so does one outside any container. */
export interface ProcessHandle extends Pick<Process, "pid" | "wait" | "signal" | "delivered" | "delete"> {
  readonly tty: Pick<TtyRelay, "resize" | "progress"> | undefined;
  readonly pipeRelay: Pick<PipeRelay, "progress"> | undefined;
}

/** `TimeoutInMs` of a wait without end. */
export const INFINITE_TIMEOUT = 0xffffffff;

/** setTimeout's own limit, 2^31-1 ms; longer waits (up to 49 days) are made of several. */
const MAXIMUM_TIMER_MS = 2 ** 31 - 1;

export class UvmProcess {
  readonly pid: number;
  /** performance.now(), milliseconds; of a container's init, when it was created. */
  readonly startedAt = performance.now();
  /** Settles with the exit code once the process has ended and its output is drained; never rejects. */
  readonly finished: Promise<number>;
  #exitCode: number | undefined;
  #wasWaitedFor = false;
  #process: ProcessHandle | undefined;
  readonly #waiters = new Set<(exitCode: number) => void>();

  constructor(process: ProcessHandle) {
    this.pid = process.pid;
    this.#process = process;
    this.finished = process.wait();
    void this.finished.then((exitCode) => {
      this.#exitCode = exitCode;
      this.#wasWaitedFor = this.#waiters.size > 0;
      for (const answer of this.#waiters) answer(exitCode);
      this.#waiters.clear();
    });
  }

  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** How many wait for its exit. */
  get waitCount(): number {
    return this.#waiters.size;
  }

  /** It runs, or has ended and its host has not taken all of its output. */
  get isHeld(): boolean {
    return this.#process !== undefined;
  }

  get relays(): readonly RelayProgress[] {
    return (this.#process?.tty ?? this.#process?.pipeRelay)?.progress ?? [];
  }

  /** Somebody got its exit code. */
  get wasWaitedFor(): boolean {
    return this.#wasWaitedFor;
  }

  /**
   * @param timeoutMs milliseconds; INFINITE_TIMEOUT waits for ever.
   * @throws AgentError TIMEOUT
   */
  wait(timeoutMs: number): Promise<number> {
    return this.startWait(timeoutMs).exitCode;
  }

  /**
   * @returns as wait(), and what ends the waiting before: then the exit code rejects with ABORTED, if it was not known yet
   */
  startWait(timeoutMs: number): { readonly exitCode: Promise<number>; readonly giveUp: () => void } {
    if (this.#exitCode !== undefined) {
      return { exitCode: Promise.resolve(this.#exitCode), giveUp: () => {} };
    }
    const { promise: exitCode, resolve, reject } = Promise.withResolvers<number>();
    let timer: NodeJS.Timeout | undefined;
    const answer = (code: number) => {
      clearTimeout(timer);
      resolve(code);
    };
    const end = (error: AgentError) => {
      clearTimeout(timer);
      this.#waiters.delete(answer);
      reject(error);
    };
    // A set, and not reactions on one promise: a host that asks again and again leaves nothing behind.
    this.#waiters.add(answer);
    const expire = (leftMs: number) => {
      const step = Math.min(leftMs, MAXIMUM_TIMER_MS);
      timer = setTimeout(() => {
        if (leftMs > step) return expire(leftMs - step);
        end(new AgentError("TIMEOUT", `process ${this.pid} is still running after ${timeoutMs} ms`));
      }, step);
    };
    if (timeoutMs !== INFINITE_TIMEOUT) expire(timeoutMs);
    return {
      exitCode,
      giveUp: () => end(new AgentError("ABORTED", `nobody waits for ${this.pid} any more`)),
    };
  }

  /** @throws AgentError PROCESS_NOT_FOUND when it has exited, INVALID_ARGUMENT for no signal of Linux. */
  signal(signal: number): void {
    if (!Number.isInteger(signal) || signal < 1 || signal > 64) {
      throw new AgentError("INVALID_ARGUMENT", `signal ${signal} is not one of Linux's, 1 to 64`);
    }
    if (this.#process?.signal(signal) !== true) {
      throw new AgentError("PROCESS_NOT_FOUND", `process ${this.pid} has already exited`);
    }
  }

  /** @throws AgentError NOT_A_TERMINAL, TIMEOUT */
  async resize(height: number, width: number): Promise<void> {
    if (this.#process === undefined) return;
    if (this.#process.tty === undefined) {
      throw new AgentError("NOT_A_TERMINAL", `process ${this.pid} has no terminal and cannot be resized`);
    }
    await this.#process.tty.resize(height, width);
  }

  /** Frees what the process holds here once it has exited and its host has all of the output, however long that takes. */
  async releaseDelivered(): Promise<void> {
    await this.finished;
    await this.#process?.delivered();
    await this.release();
  }

  /** Frees what the process holds here now; its exit code stays. */
  async release(): Promise<void> {
    const process = this.#process;
    this.#process = undefined;
    await process?.delete();
  }
}
