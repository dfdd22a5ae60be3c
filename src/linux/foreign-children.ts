import type { ChildProcess } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";

/**
 * Children of this process that libuv waits for (node:child_process, and execa over it): a reaper that took their exit
 * codes would leave it waiting. They announce themselves on Node's diagnostics channel "child_process", before they start.
 */
export class ForeignChildren {
  readonly #children = new Set<ChildProcess>();
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

  /** The pids not to touch now. Not to be called in the middle of a spawn(), and it cannot be: that is synchronous. */
  pids(): Set<number> {
    const pids = new Set<number>();
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
