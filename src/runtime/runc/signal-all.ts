import { setTimeout as delay } from "node:timers/promises";
import { closeFd, pidfdOpen, pidfdSendSignal } from "../../../native/hvsock/index.ts";
import { AgentError } from "../../common/errors.ts";
import { isSystemError } from "../../common/system-error.ts";
import type { Cgroup } from "../../linux/cgroups/cgroup.ts";

const SIGKILL = 9;

/** The freezer of cgroup v1 tells nobody when it is done; it is asked this often, a millisecond apart. */
const freezeChecks = 50;

/** New processes can appear while the known ones are signalled; so often is the list read again. */
const rounds = 20;

/**
 * Signals every process of a cgroup once, those that fork meanwhile too: SIGKILL through cgroup.kill where the
 * kernel has it, otherwise process by process while the cgroup is frozen. Bounded, also against a fork bomb that
 * cannot be frozen. A cgroup that was frozen before stays so, but for SIGKILL, which frozen processes of cgroup v1
 * do not take.
 *
 * Never signals the machine's init.
 *
 * @throws AgentError INVALID_STATE for a cgroup that this process is in
 */
export async function signalAll(cgroup: Cgroup, signal: number): Promise<void> {
  if ((await cgroup.processes()).includes(process.pid))
    throw new AgentError("INVALID_STATE", "a cgroup that this process is in is not signalled as a whole");
  if (signal === SIGKILL && cgroup.killAtOnce()) return;
  const wasFrozen = cgroup.isFrozen();
  const frozen = wasFrozen || (await freeze(cgroup));
  try {
    const signalled = new Set<number>();
    for (let round = 0; round < rounds; round++) {
      const pids = (await cgroup.processes()).filter((pid) => !signalled.has(pid) && pid !== 1);
      if (pids.length === 0) break;
      for (const pid of pids) signalled.add(pid);
      await signalMembers(cgroup, pids, signal);
    }
  } finally {
    if (frozen && (!wasFrozen || signal === SIGKILL)) cgroup.thaw();
  }
}

/**
 * A pid of the list may belong to a stranger by now. So each process is held by a pidfd first, and only those
 * are signalled whose pids the cgroup lists after that.
 */
async function signalMembers(cgroup: Cgroup, pids: readonly number[], signal: number): Promise<void> {
  const held = new Map<number, number>();
  try {
    for (const pid of pids) {
      const pidfd = openIfAlive(pid);
      if (pidfd !== undefined) held.set(pid, pidfd);
    }
    for (const pid of await cgroup.processes()) {
      const pidfd = held.get(pid);
      if (pidfd !== undefined) pidfdSendSignal(pidfd, signal);
    }
  } finally {
    for (const pidfd of held.values()) closeFd(pidfd);
  }
}

function openIfAlive(pid: number): number | undefined {
  try {
    return pidfdOpen(pid);
  } catch (error) {
    if (isSystemError(error, "ESRCH")) return undefined;
    throw error;
  }
}

async function freeze(cgroup: Cgroup): Promise<boolean> {
  if (!cgroup.freeze()) return false;
  for (let check = 0; check < freezeChecks && !cgroup.isFreezeComplete(); check++) await delay(1);
  return true;
}
