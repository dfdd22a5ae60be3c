/**
 * The processes that one owner (a container, or the utility VM) has started: running ones and the exit codes
 * of those that ended, so that a wait that comes late, or comes twice, is still answered.
 */
import { AgentError } from "../../common/errors.ts";
import type { UvmProcess } from "./process.ts";

/** Exited processes whose codes are kept per owner; the oldest is forgotten first. */
const MAXIMUM_EXITED = 1024;

export class ProcessTable {
  readonly #owner: string;
  readonly #running = new Map<number, UvmProcess>();
  readonly #exited = new Map<number, UvmProcess>();

  constructor(owner: string) {
    this.#owner = owner;
  }

  add(process: UvmProcess): void {
    // The kernel gave this pid out anew: the one that had it before is gone for good.
    this.#exited.delete(process.pid);
    this.#running.set(process.pid, process);
    void process.finished.then(() => this.#retire(process));
  }

  /** @throws AgentError PROCESS_NOT_FOUND */
  get(pid: number): UvmProcess {
    const process = this.find(pid);
    if (process === undefined) {
      throw new AgentError("PROCESS_NOT_FOUND", `process ${pid} was not started in ${this.#owner}`);
    }
    return process;
  }

  find(pid: number): UvmProcess | undefined {
    return this.#running.get(pid) ?? this.#exited.get(pid);
  }

  get running(): Iterable<UvmProcess> {
    return this.#running.values();
  }

  /** The running ones, and those that have ended and whose output is on its way. */
  get held(): readonly UvmProcess[] {
    return [...this.#running.values(), ...this.#exited.values()].filter(({ isHeld }) => isHeld);
  }

  #retire(process: UvmProcess): void {
    if (this.#running.get(process.pid) !== process) return;
    this.#running.delete(process.pid);
    this.#exited.set(process.pid, process);
    for (const oldest of this.#exited.keys()) {
      if (this.#exited.size <= MAXIMUM_EXITED) break;
      this.#exited.delete(oldest);
    }
  }
}
