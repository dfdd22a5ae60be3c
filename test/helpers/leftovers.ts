import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** What one `lcow run --local` has made on this machine. */
export interface Footprint {
  /** The agent's, which holds sockets, bundles and the runtime's state. */
  readonly directory: string;
  readonly containerId: string;
  /** The agent and all below it, the container's processes among them: "pid starttime". */
  readonly processes: readonly string[];
}

const POLL_MS = 20;
/** Occurs nowhere else. */
const NO_CONTAINER = "no container yet";

/**
 * Finds out, once the container runs, what belongs to it.
 * @param pid of lcow
 */
export async function footprintOf(pid: number, timeoutMs = 30_000): Promise<Footprint> {
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await sleep(POLL_MS)) {
    const footprint = agentsOf(pid).find(({ containerId }) => containerId !== NO_CONTAINER);
    if (footprint !== undefined) return footprint;
  }
  throw new Error(`lcow ${pid} has no agent with a container after ${timeoutMs} ms`);
}

/** The same at once, with or without a container; none when there is no agent yet. */
export function agentsOf(pid: number): Footprint[] {
  return childrenOf(pid).flatMap((child) => {
    const [, directory] = /--private-directory=([^\0]+)/.exec(readProc(child, "cmdline")) ?? [];
    if (directory === undefined) return [];
    const [containerId = NO_CONTAINER] = existsSync(`${directory}/runtime`)
      ? readdirSync(`${directory}/runtime`)
      : [];
    const processes = [child, ...descendantsOf(child)].map(identify).filter((text) => text !== undefined);
    return [{ directory, containerId, processes }];
  });
}

/** Everything of the footprint that is still there; empty when nothing is. */
export function leftovers({ directory, containerId, processes }: Footprint): string[] {
  const left: string[] = [];
  for (const process of processes)
    if (identify(Number.parseInt(process, 10)) === process) left.push(`process ${process}`);
  if (existsSync(directory)) left.push(`directory ${directory}`);
  const mentions = (text: string) => text.includes(directory) || text.includes(containerId);
  for (const file of ["mountinfo", "net/unix"]) {
    left.push(
      ...readProc("self", file)
        .split("\n")
        .filter(mentions)
        .map((line) => `${file}: ${line}`),
    );
  }
  left.push(
    ...cgroupsNamed(containerId, "/sys/fs/cgroup", 4),
    ...cgroupsNamed(basename(directory), "/sys/fs/cgroup", 3),
  );
  return left;
}

/** Waits for the agent's cleaning up. @returns what is still there at the deadline: nothing, one hopes. */
export async function leftoversAfter(footprint: Footprint, timeoutMs = 30_000): Promise<string[]> {
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await sleep(POLL_MS)) {
    if (leftovers(footprint).length === 0) return [];
  }
  return leftovers(footprint);
}

function childrenOf(pid: number): number[] {
  let tasks: string[];
  try {
    tasks = readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
  return tasks.flatMap((task) =>
    readProc(pid, `task/${task}/children`).split(" ").filter(Boolean).map(Number),
  );
}

function descendantsOf(pid: number): number[] {
  return childrenOf(pid).flatMap((child) => [child, ...descendantsOf(child)]);
}

/** Pids are used again; together with the start time they are not. A zombie is gone but for its parent. */
function identify(pid: number): string | undefined {
  const fields = /\) (.*)/.exec(readProc(pid, "stat"))?.[1]?.split(" ");
  // Fields 3 (state) and 22 (starttime) of proc_pid_stat(5).
  return fields === undefined || fields[0] === "Z" ? undefined : `${pid} ${fields[22 - 3]}`;
}

function readProc(pid: number | string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return "";
  }
}

function cgroupsNamed(name: string, directory: string, depth: number): string[] {
  if (depth === 0) return [];
  return directoriesIn(directory).flatMap((entry) => {
    const path = `${directory}/${entry}`;
    return [...(entry.includes(name) ? [`cgroup ${path}`] : []), ...cgroupsNamed(name, path, depth - 1)];
  });
}

/** Others' cgroups come and go meanwhile. */
function directoriesIn(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}
