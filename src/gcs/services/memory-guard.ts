/**
 * Keeps containers from taking the memory that the agent needs to answer its host: containers together get all but
 * a reserve, the agent has a cgroup of its own beside theirs, and the kernel looks elsewhere first when memory runs
 * out. For a utility VM, where the whole machine is the agent's to arrange.
 */
import { mkdirSync } from "node:fs";
import { totalmem } from "node:os";
import { AgentError } from "../../common/errors.ts";
import { writeKernelFile } from "../../linux/cgroups/files.ts";
import { detectCgroupLayout } from "../../linux/cgroups/layout.ts";

/** -1000 would exempt it wholly, so that a leak of its own would take the machine down. */
const AGENT_OOM_SCORE = -999;

/**
 * @param options.podsPath cgroup under which containers live: "/pods".
 * @param options.reserveBytes what containers together never get.
 * @throws AgentError INVALID_ARGUMENT when the machine has no more than the reserve; CGROUP_UNAVAILABLE
 */
export function guardMemory(options: { podsPath: string; reserveBytes: number }): void {
  const limit = totalmem() - options.reserveBytes;
  if (limit <= 0) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `-root-mem-reserve-bytes ${options.reserveBytes}: the machine has ${totalmem()} bytes of memory only`,
    );
  }
  const layout = detectCgroupLayout();
  const memory = layout.mounts.find(({ controllers, unified }) => controllers.includes("memory") || unified);
  if (memory === undefined) throw new AgentError("CGROUP_UNAVAILABLE", "the kernel has no memory controller");
  const [own, pods] = [`${memory.mountPoint}/gcs`, `${memory.mountPoint}${options.podsPath}`];
  try {
    for (const directory of [own, pods]) mkdirSync(directory, { recursive: true });
    writeKernelFile(`${own}/cgroup.procs`, String(process.pid));
    if (layout.version === 2) writeKernelFile(`${memory.mountPoint}/cgroup.subtree_control`, "+memory");
    writeKernelFile(
      `${pods}/${layout.version === 2 ? "memory.max" : "memory.limit_in_bytes"}`,
      String(limit),
    );
    writeKernelFile("/proc/self/oom_score_adj", String(AGENT_OOM_SCORE));
  } catch (cause) {
    throw new AgentError("CGROUP_UNAVAILABLE", "cannot arrange the memory of agent and containers", {
      cause,
    });
  }
}
