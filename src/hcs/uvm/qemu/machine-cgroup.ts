/**
 * A cgroup of QEMU's own, so that a guest that takes it over cannot take the host's memory or process ids. Only where
 * we may make one: root, with controllers of version 1 or 2 where they are usually mounted. It is the second of two
 * bounds, so a machine runs without it, too.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const MOUNT = "/sys/fs/cgroup";
const PARENT = "lcow-vm";
/** Translated code, devices, and QEMU itself; beside the guest's memory. */
const OVERHEAD_BYTES = 1024 ** 3;
/** Threads: processors, and up to 64 for disks each time. */
const PIDS = 1024;

export class MachineCgroup {
  readonly #directories: readonly Controller[];
  #bytes = OVERHEAD_BYTES;

  private constructor(directories: readonly Controller[]) {
    this.#directories = directories;
  }

  /**
   * @param pid of the machine's process, which has not begun to take memory
   * @param memoryBytes of the guest
   * @returns undefined where there can be none
   */
  static make(pid: number, memoryBytes: number): MachineCgroup | undefined {
    if (process.geteuid?.() !== 0) return undefined;
    const hierarchies = existsSync(`${MOUNT}/cgroup.controllers`)
      ? [{ root: MOUNT, memory: "memory.max", kills: "memory.events", pids: "pids.max" }]
      : [
          {
            root: `${MOUNT}/memory`,
            memory: "memory.limit_in_bytes",
            kills: "memory.oom_control",
          },
          { root: `${MOUNT}/pids`, pids: "pids.max" },
        ];
    const made: Controller[] = [];
    const cgroup = new MachineCgroup(made);
    try {
      for (const { root, ...files } of hierarchies) {
        if (!existsSync(root)) continue;
        const path = prepare(root, String(pid));
        made.push({ path, ...files });
        writeFileSync(join(path, "cgroup.procs"), String(pid));
      }
      cgroup.addMemory(memoryBytes);
      for (const { path, pids } of made)
        if (pids !== undefined) writeFileSync(join(path, pids), String(PIDS));
      return cgroup;
    } catch {
      // Read-only in a container, controllers that are not delegated, a machine that has just ended.
      cgroup.remove();
      return undefined;
    }
  }

  /** Before the guest gets it. @throws Error */
  addMemory(bytes: number): void {
    this.#bytes += bytes;
    for (const { path, memory } of this.#directories)
      if (memory !== undefined) writeFileSync(join(path, memory), String(this.#bytes));
  }

  /** The bound; bytes. */
  get memoryBytes(): number {
    return this.#bytes;
  }

  /** Whether the kernel has killed it for want of memory, its own or this machine's. Before remove(). */
  get wasOutOfMemory(): boolean {
    return this.#directories.some(({ path, kills }) => {
      if (kills === undefined) return false;
      try {
        return /^oom_kill [1-9]/m.test(readFileSync(join(path, kills), "utf8"));
      } catch {
        // A kernel that does not count them: then nothing can be said.
        return false;
      }
    });
  }

  /** After the machine's end. */
  remove(): void {
    for (const { path } of this.#directories) {
      removeEmpty(path);
      removeEmpty(dirname(path));
    }
  }
}

interface Controller {
  readonly path: string;
  readonly memory?: string;
  /** The file that counts processes which the kernel killed for want of memory. */
  readonly kills?: string;
  readonly pids?: string;
}

function prepare(root: string, name: string): string {
  const parent = join(root, PARENT);
  mkdirSync(parent, { recursive: true });
  if (root === MOUNT)
    for (const directory of [root, parent])
      writeFileSync(join(directory, "cgroup.subtree_control"), "+memory +pids");
  // Those of programs that were killed: the kernel keeps the ones that are still used.
  for (const entry of readdirSync(parent, { withFileTypes: true }))
    if (entry.isDirectory()) removeEmpty(join(parent, entry.name));
  const path = join(parent, name);
  mkdirSync(path);
  return path;
}

function removeEmpty(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // In use, or gone: whoever comes next looks again.
  }
}
