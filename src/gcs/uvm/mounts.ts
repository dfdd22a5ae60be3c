/** What the agent has mounted on the host's request: each target once, and gone with everything made for it. */
import { AgentError } from "../../errors.ts";
import type { Mounted } from "../../storage/mount.ts";

export class UvmMounts {
  /** By target; undefined while it is being mounted. */
  readonly #mounts = new Map<string, Mounted | undefined>();

  /** @throws AgentError INVALID_STATE when something is mounted there already, and what `mount` throws. */
  async add(target: string, mount: () => Promise<Mounted>): Promise<void> {
    if (this.#mounts.has(target)) throw new AgentError("INVALID_STATE", `${target} is mounted already`);
    this.#mounts.set(target, undefined);
    try {
      this.#mounts.set(target, await mount());
    } catch (error) {
      this.#mounts.delete(target);
      throw error;
    }
  }

  /** Unmounts. A target where nothing is mounted is no error: hosts clean up in any order, and more than once. */
  async remove(target: string): Promise<void> {
    const mounted = this.#mounts.get(target);
    if (mounted === undefined) {
      if (this.#mounts.has(target)) throw new AgentError("INVALID_STATE", `${target} is still being mounted`);
      return;
    }
    await mounted.unmount();
    this.#mounts.delete(target);
  }

  /** Unmounts all, latest first. @returns what could not be unmounted. */
  async close(): Promise<unknown[]> {
    const failures: unknown[] = [];
    for (const target of [...this.#mounts.keys()].reverse()) {
      try {
        await this.remove(target);
      } catch (error) {
        failures.push(error);
      }
    }
    return failures;
  }
}
