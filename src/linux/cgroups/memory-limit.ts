import { mkdirSync } from "node:fs";
import { totalmem } from "node:os";
import { AgentError } from "../../common/errors.ts";
import { writeKernelFile } from "./files.ts";
import { detectCgroupLayout } from "./layout.ts";

/**
 * Limits what all containers together get to the machine's memory, as it is now, less a reserve.
 * @param podsPath cgroup under which containers live: "/pods". @param reserveBytes what they never get.
 * @returns the limit, bytes
 * @throws AgentError INVALID_ARGUMENT when the machine has no more than the reserve; CGROUP_UNAVAILABLE
 */
export function limitMemory(podsPath: string, reserveBytes: number): number {
  const limit = totalmem() - reserveBytes;
  if (limit <= 0) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `-root-mem-reserve-bytes ${reserveBytes}: the machine has ${totalmem()} bytes of memory only`,
    );
  }
  const layout = detectCgroupLayout();
  const memory = layout.mounts.find(({ controllers, unified }) => controllers.includes("memory") || unified);
  if (memory === undefined) throw new AgentError("CGROUP_UNAVAILABLE", "the kernel has no memory controller");
  const pods = `${memory.mountPoint}${podsPath}`;
  try {
    mkdirSync(pods, { recursive: true });
    if (layout.version === 2) writeKernelFile(`${memory.mountPoint}/cgroup.subtree_control`, "+memory");
    writeKernelFile(
      `${pods}/${layout.version === 2 ? "memory.max" : "memory.limit_in_bytes"}`,
      String(limit),
    );
    return limit;
  } catch (cause) {
    throw new AgentError("CGROUP_UNAVAILABLE", "cannot limit the memory of all containers together", {
      cause,
    });
  }
}
