/**
 * Keeps containers from taking the memory that the agent needs to answer its host: containers together get all but
 * a reserve, the agent has a cgroup of its own beside theirs, and the kernel looks elsewhere first when memory runs
 * out. For a utility VM, where the whole machine is the agent's to arrange.
 */
import { mkdirSync } from "node:fs";
import { AgentError } from "../../common/errors.ts";
import { writeKernelFile } from "../../linux/cgroups/files.ts";
import { detectCgroupLayout } from "../../linux/cgroups/layout.ts";
import { limitMemory } from "../../linux/cgroups/memory-limit.ts";

/** -1000 would exempt it wholly, so that a leak of its own would take the machine down. */
const AGENT_OOM_SCORE = -999;

/**
 * @param options.podsPath cgroup under which containers live: "/pods".
 * @param options.reserveBytes what containers together never get.
 * @throws AgentError INVALID_ARGUMENT when the machine has no more than the reserve; CGROUP_UNAVAILABLE
 */
export function guardMemory(options: { podsPath: string; reserveBytes: number }): void {
  limitMemory(options.podsPath, options.reserveBytes);
  const memory = detectCgroupLayout().mounts.find(
    ({ controllers, unified }) => controllers.includes("memory") || unified,
  );
  const own = `${memory?.mountPoint}/gcs`;
  try {
    mkdirSync(own, { recursive: true });
    writeKernelFile(`${own}/cgroup.procs`, String(process.pid));
    writeKernelFile("/proc/self/oom_score_adj", String(AGENT_OOM_SCORE));
  } catch (cause) {
    throw new AgentError("CGROUP_UNAVAILABLE", "cannot keep the agent's memory apart", { cause });
  }
}
