import { existsSync, readdirSync, rmdirSync } from "node:fs";
import { setTimeout as delay, setImmediate as nextTurn } from "node:timers/promises";
import { AgentError } from "../../common/errors.ts";
import { isSystemError } from "../../common/system-error.ts";
import { hasChildCgroups, readKernelFile, writeKernelFile } from "./files.ts";
import { type CgroupLayout, type CgroupMount, parseProcessCgroups } from "./layout.ts";
import type { CgroupStatistics } from "./statistics.ts";
import { readV1Statistics } from "./statistics-v1.ts";
import { readV2Statistics } from "./statistics-v2.ts";

/** v1 hierarchies in which to look for a container's processes, best first: those that runtimes always join. */
const processControllers = ["devices", "pids", "freezer", "memory", "cpu", "cpuset"];

/** Cgroups that may be made below one. */
export interface CgroupNesting {
  /** How many in all. */
  readonly descendants: number;
  /** How many levels. */
  readonly depth: number;
}

/** Listing gives way to others after this many milliseconds: a container may make thousands of cgroups. */
const LONGEST_TURN_MS = 5;

/** One container's cgroup in all mounted hierarchies. Directories are looked up once and kept. */
export class Cgroup {
  readonly #layout: CgroupLayout;
  readonly #directories: ReadonlyMap<CgroupMount, string>;

  private constructor(layout: CgroupLayout, directories: ReadonlyMap<CgroupMount, string>) {
    this.#layout = layout;
    this.#directories = directories;
  }

  /**
   * @param path absolute, as `linux.cgroupsPath` of an OCI spec.
   * @throws AgentError CGROUP_UNAVAILABLE for the root, a relative path, or a cgroup that this process is in
   */
  static atPath(layout: CgroupLayout, path: string): Cgroup {
    const normal = `/${path
      .split("/")
      .filter((part) => part !== "" && part !== ".")
      .join("/")}`;
    if (!path.startsWith("/") || normal === "/" || normal.split("/").includes(".."))
      throw new AgentError("CGROUP_UNAVAILABLE", `"${path}" names no cgroup below the root`);
    const cgroup = new Cgroup(
      layout,
      new Map(layout.mounts.map((mount) => [mount, mount.mountPoint + normal])),
    );
    if (cgroup.#holdsUs())
      throw new AgentError("CGROUP_UNAVAILABLE", `this process itself is in cgroup "${path}"`);
    return cgroup;
  }

  /**
   * Where the process is now.
   * @returns undefined when the process is gone, or is in no cgroup but the root and those that we are in, which
   *   belong to no container.
   */
  static ofProcess(layout: CgroupLayout, pid: number): Cgroup | undefined {
    const text = readKernelFile(`/proc/${pid}/cgroup`);
    if (text === undefined) return undefined;
    const ours = ownDirectories(layout);
    const directories = new Map<CgroupMount, string>();
    // In some hierarchies a process may have stayed where its parent, and so we, are: that is not its own.
    for (const [mount, directory] of directoriesOf(text, layout))
      if (!isWithin(ours.get(mount), directory)) directories.set(mount, directory);
    const cgroup = new Cgroup(layout, directories);
    return cgroup.#processDirectory() === undefined ? undefined : cgroup;
  }

  /** The directory in a v1 controller's hierarchy; in v2 the one directory, whatever the controller. */
  directory(controller: string): string | undefined {
    for (const [mount, directory] of this.#directories)
      if (this.#layout.version === 2 ? mount.unified : mount.controllers.includes(controller))
        return directory;
    return undefined;
  }

  exists(): boolean {
    const directory = this.#processDirectory();
    return directory !== undefined && existsSync(directory);
  }

  /** Pids of all processes in it and below it, in the reader's pid namespace; zombies are not among them. */
  async processes(): Promise<number[]> {
    const directory = this.#processDirectory();
    return directory === undefined ? [] : await listProcesses(directory);
  }

  /** @returns false where the kernel cannot: v1. */
  limitNesting({ descendants, depth }: CgroupNesting): boolean {
    const directory = this.#layout.version === 1 ? undefined : this.#processDirectory();
    if (directory === undefined) return false;
    const limits = { "cgroup.max.descendants": descendants, "cgroup.max.depth": depth };
    return Object.entries(limits).every(([file, limit]) =>
      writeIfPresent(`${directory}/${file}`, String(limit)),
    );
  }

  /** @throws AgentError CGROUP_UNAVAILABLE when it does not exist (any more). */
  statistics(): CgroupStatistics {
    const directory = this.#processDirectory();
    const statistics =
      this.#layout.version === 1
        ? readV1Statistics((controller) => this.directory(controller))
        : directory === undefined
          ? {}
          : readV2Statistics(directory);
    if (Object.keys(statistics).length === 0)
      throw new AgentError("CGROUP_UNAVAILABLE", `cgroup ${directory ?? "of the container"} does not exist`);
    return statistics;
  }

  /** Kills all in it at once, however fast they fork. @returns false where the kernel cannot: v1, or before 5.14. */
  killAtOnce(): boolean {
    if (this.#layout.version === 1) return false;
    const directory = this.#processDirectory();
    if (directory === undefined) return false;
    return writeIfPresent(`${directory}/cgroup.kill`, "1");
  }

  isFrozen(): boolean {
    const directory = this.directory("freezer");
    if (directory === undefined) return false;
    if (this.#layout.version === 2) return readKernelFile(`${directory}/cgroup.freeze`)?.trim() === "1";
    return (readKernelFile(`${directory}/freezer.state`)?.trim() ?? "THAWED") !== "THAWED";
  }

  /** Asks for it; processes stop within moments. @returns false where there is no freezer. */
  freeze(): boolean {
    return this.#setFrozen(true);
  }

  thaw(): boolean {
    return this.#setFrozen(false);
  }

  /** Whether a freeze() has reached every process. */
  isFreezeComplete(): boolean {
    const directory = this.directory("freezer");
    if (directory === undefined) return false;
    return this.#layout.version === 2
      ? /^frozen 1$/m.test(readKernelFile(`${directory}/cgroup.events`) ?? "")
      : readKernelFile(`${directory}/freezer.state`)?.trim() === "FROZEN";
  }

  /**
   * Removes the directories, and those below them, from all hierarchies. A cgroup whose last process has just
   * died can stay busy for a moment: that is retried, for about a second in all.
   * @throws AgentError SYSTEM_CALL_FAILED when one is still busy then.
   */
  async remove(): Promise<void> {
    for (const directory of this.#directories.values()) await removeDirectory(directory);
  }

  #holdsUs(): boolean {
    const ours = ownDirectories(this.#layout);
    return [...this.#directories].some(([mount, directory]) => isWithin(ours.get(mount), directory));
  }

  #setFrozen(frozen: boolean): boolean {
    const directory = this.directory("freezer");
    if (directory === undefined) return false;
    return this.#layout.version === 2
      ? writeIfPresent(`${directory}/cgroup.freeze`, frozen ? "1" : "0")
      : writeIfPresent(`${directory}/freezer.state`, frozen ? "FROZEN" : "THAWED");
  }

  #processDirectory(): string | undefined {
    for (const controller of processControllers) {
      const directory = this.directory(controller);
      if (directory !== undefined) return directory;
    }
    return undefined;
  }
}

/** Directories of a process by mount, without the root's. @param text of /proc/PID/cgroup */
function directoriesOf(text: string, layout: CgroupLayout): Map<CgroupMount, string> {
  const directories = new Map<CgroupMount, string>();
  for (const [mount, path] of parseProcessCgroups(text, layout)) {
    const inside =
      mount.root === "/" ? path : path.startsWith(`${mount.root}/`) ? path.slice(mount.root.length) : "/";
    if (inside !== "/") directories.set(mount, mount.mountPoint + inside);
  }
  return directories;
}

function ownDirectories(layout: CgroupLayout): Map<CgroupMount, string> {
  return directoriesOf(readKernelFile("/proc/self/cgroup") ?? "", layout);
}

function isWithin(directory: string | undefined, outer: string): boolean {
  return directory !== undefined && (directory === outer || directory.startsWith(`${outer}/`));
}

async function listProcesses(top: string): Promise<number[]> {
  const pids: number[] = [];
  const directories: Path[] = [top];
  let since = performance.now();
  for (let directory = directories.pop(); directory !== undefined; directory = directories.pop()) {
    for (const pid of (readKernelFile(entryOf(directory, "cgroup.procs")) ?? "").split("\n"))
      if (pid !== "") pids.push(Number(pid));
    for (const child of childCgroups(directory)) directories.push(child);
    if (performance.now() - since < LONGEST_TURN_MS) continue;
    await nextTurn();
    since = performance.now();
  }
  return pids;
}

/** Bytes below a container's cgroup: it gives its own any name but one with a line end, UTF-8 or not. */
type Path = string | Buffer;

function entryOf(directory: Path, name: Path): Buffer {
  return Buffer.concat([Buffer.from(directory), Buffer.from("/"), Buffer.from(name)]);
}

function childCgroups(directory: Path): Buffer[] {
  if (!hasChildCgroups(directory)) return [];
  try {
    return readdirSync(directory, { withFileTypes: true, encoding: "buffer" })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entryOf(directory, entry.name));
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ENODEV")) return [];
    throw error;
  }
}

function writeIfPresent(path: string, value: string): boolean {
  try {
    writeKernelFile(path, value);
    return true;
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ENODEV")) return false;
    throw error;
  }
}

async function removeDirectory(directory: Path): Promise<void> {
  if (!existsSync(directory)) return;
  for (const child of childCgroups(directory)) await removeDirectory(child);
  // 1 + 2 + 4 ... + 512 ms
  for (let wait = 1; ; wait *= 2) {
    try {
      rmdirSync(directory);
      return;
    } catch (error) {
      if (isSystemError(error, "ENOENT")) return;
      if (!isSystemError(error, "EBUSY") || wait > 512)
        throw new AgentError(
          "SYSTEM_CALL_FAILED",
          `cannot remove cgroup ${directory.toString()}: is a process left in it?`,
          {
            cause: error,
          },
        );
    }
    await delay(wait);
  }
}
