/**
 * Keeps containers from taking all threads that the kernel can have, of which the agent and the runtime need some to
 * answer the host. For a utility VM, where the whole machine is the agent's to arrange.
 */
import { mkdirSync } from "node:fs";
import { AgentError } from "../../common/errors.ts";
import { readKernelFile, writeKernelFile } from "../../linux/cgroups/files.ts";
import { detectCgroupLayout } from "../../linux/cgroups/layout.ts";

/** Some hundred kernel threads at most, the agent's, and a dozen for each call of the runtime at once. */
const RESERVED_THREADS = 512;
/** Of a small machine, which has less than a thousand. */
const LARGEST_RESERVE = 1 / 4;

/**
 * @param podsPath cgroup under which containers live: "/pods".
 * @throws AgentError CGROUP_UNAVAILABLE
 */
export function guardProcesses(podsPath: string): void {
  const layout = detectCgroupLayout();
  const pids = layout.mounts.find(({ controllers, unified }) => controllers.includes("pids") || unified);
  if (pids === undefined) throw new AgentError("CGROUP_UNAVAILABLE", "the kernel has no pids controller");
  try {
    const limits = ["threads-max", "pid_max"].map((name) =>
      Number(readKernelFile(`/proc/sys/kernel/${name}`)),
    );
    const most = Math.min(...limits);
    const reserve = Math.min(RESERVED_THREADS, Math.floor(most * LARGEST_RESERVE));
    mkdirSync(`${pids.mountPoint}${podsPath}`, { recursive: true });
    if (layout.version === 2) writeKernelFile(`${pids.mountPoint}/cgroup.subtree_control`, "+pids");
    writeKernelFile(`${pids.mountPoint}${podsPath}/pids.max`, String(most - reserve));
  } catch (cause) {
    throw new AgentError("CGROUP_UNAVAILABLE", "cannot bound the processes of all containers together", {
      cause,
    });
  }
}
