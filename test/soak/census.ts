/** What an agent holds of its machine: what is to be the same after any number of containers and processes. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { type Agent, privateMemory } from "../helpers/agent.ts";

export interface Census {
  readonly descriptors: number;
  readonly threads: number;
  /** Living ones and zombies. */
  readonly children: number;
  /** Below its cgroup parent, in every hierarchy. */
  readonly cgroups: number;
  /** Below its directory, in its mount namespace. */
  readonly mounts: number;
  /** Everything in its directory: bundles, the runtime's state, logs, pid files, sockets. */
  readonly files: number;
}

const CHECK_MS = 20;

export function takeCensus(agent: Agent): Census {
  return {
    descriptors: agent.fdCount(),
    threads: readdirSync(`/proc/${agent.pid}/task`).length,
    children: childrenOf(agent.pid).length,
    cgroups: cgroupsOf(agent.cgroupParent).length,
    mounts: mountsOf(agent.pid, agent.directory).length,
    files: readdirSync(agent.directory, { recursive: true }).length,
  };
}

/** What of the second is more than in the first: "descriptors: 31, then 33". */
export function driftOf(before: Census, after: Census): string[] {
  return (Object.keys(before) as (keyof Census)[])
    .filter((what) => after[what] > before[what])
    .map((what) => `${what}: ${before[what]}, then ${after[what]}`);
}

/**
 * The same, once what was just closed has gone: the kernel and the other side take a moment over it.
 * @returns what is still more than before after `timeoutMs`
 */
export async function lastingDrift(before: Census, agent: Agent, timeoutMs: number): Promise<string[]> {
  for (const until = performance.now() + timeoutMs; ; await delay(CHECK_MS)) {
    const drift = driftOf(before, takeCensus(agent));
    if (drift.length === 0 || performance.now() > until) return drift;
  }
}

/** For a line of a report; private memory in MiB, without what it shares with others. */
export function describeCensus(agent: Agent): string {
  const memory = `private memory ${(privateMemory(agent.pid) / 2 ** 20).toFixed(1)} MiB`;
  const counts = Object.entries(takeCensus(agent)).map(([what, count]) => `${what} ${count}`);
  return [memory, ...counts].join(", ");
}

export function childrenOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) => {
    try {
      return readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean);
    } catch {
      // The thread has ended; the children of one are told as another's then.
      return [];
    }
  });
}

/** As a process sees them, by their lines of mountinfo. @param below directory */
export function mountsOf(pid: number, below: string): string[] {
  return readFileSync(`/proc/${pid}/mountinfo`, "utf8")
    .split("\n")
    .filter((line) => line.includes(below));
}

/** @param parent absolute in its hierarchy, and nobody else's: "/gcs-test-1" */
export function cgroupsOf(parent: string): string[] {
  const root = "/sys/fs/cgroup";
  const hierarchies = [root, ...directoriesIn(root).map((name) => `${root}/${name}`)];
  return hierarchies.flatMap((hierarchy) => treeOf(`${hierarchy}${parent}`));
}

function treeOf(path: string): string[] {
  try {
    const below = directoriesIn(path).flatMap((name) => treeOf(`${path}/${name}`));
    return [path, ...below];
  } catch {
    // There is none, or it has just gone.
    return [];
  }
}

function directoriesIn(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}
