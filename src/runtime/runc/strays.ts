import type { Cgroup } from "../../linux/cgroups/cgroup.ts";
import { readCommandLine } from "../../linux/proc.ts";
import type { Supervisor } from "../../linux/supervisor.ts";

export interface StraysOptions {
  readonly supervisor: Supervisor;
  /** The container's. */
  readonly cgroup: Cgroup | undefined;
  /** Orphans of the container's own go to its init, not to us. */
  readonly ownsPidNamespace: boolean;
  readonly onError: (what: string, cause: unknown) => void;
}

const SIGKILL = 9;

/**
 * Ends the process of an exec whose runtime died (of want of memory, by its deadline) after it had made the process and
 * before it told its pid: nobody waits for it, and the host was told that there is none.
 *
 * Such a process is our child, as the runtime was, it is in the container's cgroup, and the supervisor does not know it.
 * So is, for a moment, that of another exec; what failed is cleared up when those that began with it are done.
 */
export class Strays {
  readonly #options: StraysOptions;
  readonly #starting = new Set<Promise<unknown>>();

  constructor(options: StraysOptions) {
    this.#options = options;
  }

  /**
   * Starts a process in the container; when that fails, what is left of it is killed.
   * @param command its arguments
   * @throws what `start` throws
   */
  async watch<T>(command: readonly string[], start: () => Promise<T>): Promise<T> {
    // Elsewhere the container's own orphans are our children, too.
    const before = this.#options.ownsPidNamespace ? undefined : await this.#unknown();
    const starting = start();
    this.#starting.add(starting);
    try {
      return await starting;
    } catch (error) {
      this.#starting.delete(starting);
      const isAlone = this.#starting.size === 0;
      const ending = this.#end(command, before);
      if (isAlone) await ending;
      throw error;
    } finally {
      this.#starting.delete(starting);
    }
  }

  /** Never rejects. @param before those that are none of it */
  async #end(command: readonly string[], before: ReadonlySet<number> | undefined): Promise<void> {
    try {
      const others = [...this.#starting];
      const suspects = await this.#unknown();
      if (suspects.size === 0) return;
      await Promise.allSettled(others);
      for (const pid of await this.#unknown()) {
        if (!suspects.has(pid) || before?.has(pid)) continue;
        if (before !== undefined && !(await isOf(pid, command))) continue;
        // A child that nobody has reaped keeps its pid, and none is reaped between the look and this.
        if (this.#options.supervisor.orphans().includes(pid)) process.kill(pid, SIGKILL);
      }
    } catch (error) {
      this.#options.onError("end what a failed exec has left", error);
    }
  }

  async #unknown(): Promise<Set<number>> {
    const { supervisor, cgroup } = this.#options;
    const members = new Set(await cgroup?.processes());
    return new Set(supervisor.orphans().filter((pid) => members.has(pid)));
  }
}

/** Whether it runs this command, or is runc's own program that is about to. */
async function isOf(pid: number, command: readonly string[]): Promise<boolean> {
  const runs = await readCommandLine(pid);
  if (runs === undefined) return false;
  const isAboutTo = runs.length === 2 && runs[1] === "init";
  return (
    isAboutTo || (runs.length === command.length && runs.every((word, index) => word === command[index]))
  );
}
