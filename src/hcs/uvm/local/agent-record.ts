import { readdir, readFile } from "node:fs/promises";
import { AgentError } from "../../../common/errors.ts";
import { type AgentTraces, removeTraces } from "./agent-traces.ts";

/** What must be known of an agent on this machine to end it in its host's place. */
export interface AgentRecord {
  readonly pid: number;
  readonly traces: AgentTraces;
}

/** How long an agent whose host was killed may take to end its containers by itself. */
const OWN_END_MS = 3_000;
/** A killed process is gone at once, unless the kernel is stuck in it. */
const KILL_TIMEOUT_MS = 5_000;
/** Processes may start others while they are killed. */
const ROUNDS = 10;

/** Ends an agent that has lost its host, and removes what it left. @throws AgentError as removeTraces */
export async function removeAgent({ pid, traces }: AgentRecord): Promise<void> {
  const isAgent = () => isProcessOf(pid, traces.directory);
  if (!(await isGone(isAgent, OWN_END_MS))) {
    await killAgent(pid);
    await isGone(isAgent, KILL_TIMEOUT_MS);
  }
  await removeTraces(traces);
}

/** Kills an agent with all that it has started: first it is stopped, so that it starts nothing more. */
export async function killAgent(pid: number): Promise<void> {
  send(pid, "SIGSTOP");
  for (let round = 0; round < ROUNDS; round++) {
    const children = await descendantsOf(pid);
    for (const child of children) send(child, "SIGKILL");
    if (children.length === 0) break;
  }
  send(pid, "SIGKILL");
}

/** Whether a process is there that was started for a directory, and is none that has the number by chance. */
export async function isProcessOf(pid: number, directory: string): Promise<boolean> {
  const words = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return words.includes(directory);
}

/** Waits for the end of a process that is no child of this one, and so tells no one. */
export async function isGone(isThere: () => Promise<boolean>, timeoutMs: number): Promise<boolean> {
  for (const deadline = performance.now() + timeoutMs; await isThere(); ) {
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && cause.code === "ESRCH")) {
      throw new AgentError("SYSTEM_CALL_FAILED", `process ${pid} could not be sent ${signal}`, { cause });
    }
  }
}

/** Those that live, by their parents' ids in /proc/PID/stat; proc_pid_stat(5). */
async function descendantsOf(pid: number): Promise<number[]> {
  const children = new Map<number, number[]>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    // The name before it is in brackets, and may have any character.
    const [state = "Z", parent = "0"] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state === "Z") continue;
    children.set(Number(parent), [...(children.get(Number(parent)) ?? []), Number(name)]);
  }
  const found = [...(children.get(pid) ?? [])];
  for (let at = 0; at < found.length; at++) found.push(...(children.get(found[at] ?? 0) ?? []));
  return found;
}
