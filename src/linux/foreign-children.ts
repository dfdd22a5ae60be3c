import type { ChildProcess } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";

/**
 * Children of this process that others wait for: a reaper that took their exit codes would leave those others
 * waiting. libuv's (node:child_process, and execa over it) announce themselves on Node's diagnostics channel
 * "child_process", before they start; others, such as node-pty's, must be told by ignore().
 */
export class ForeignChildren {
  readonly #children = new Set<ChildProcess>();
  readonly #ignored = new Map<number, number>();
  #announced = 0;
  readonly #onChild = (message: unknown): void => {
    const child = (message as { process?: ChildProcess }).process;
    if (!child) return;
    this.#announced++;
    this.#children.add(child);
  };

  constructor() {
    subscribe("child_process", this.#onChild);
  }

  /** How many of libuv's children were announced so far. */
  get announced(): number {
    return this.#announced;
  }

  /** @returns ends it; called once whoever waits for the pid has its exit code. */
  ignore(pid: number): () => void {
    this.#ignored.set(pid, (this.#ignored.get(pid) ?? 0) + 1);
    let ended = false;
    return () => {
      if (ended) return;
      ended = true;
      const others = (this.#ignored.get(pid) ?? 1) - 1;
      if (others === 0) this.#ignored.delete(pid);
      else this.#ignored.set(pid, others);
    };
  }

  /** The pids not to touch now. Not to be called in the middle of a spawn(), and it cannot be: that is synchronous. */
  pids(): Set<number> {
    const pids = new Set(this.#ignored.keys());
    for (const child of this.#children) {
      const ended = child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
      if (ended) this.#children.delete(child);
      else if (child.pid !== undefined) pids.add(child.pid);
    }
    return pids;
  }

  close(): void {
    unsubscribe("child_process", this.#onChild);
  }
}
