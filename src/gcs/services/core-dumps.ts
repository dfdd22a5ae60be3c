import { writeFileSync } from "node:fs";
import { AgentError } from "../../common/errors.ts";

/**
 * Where the kernel writes core dumps, for all containers: a path with the format letters of core(5).
 * @throws AgentError SYSTEM_CALL_FAILED
 */
export function setCoreDumpLocation(pattern: string): void {
  try {
    writeFileSync("/proc/sys/kernel/core_pattern", pattern);
  } catch (cause) {
    throw new AgentError(
      "SYSTEM_CALL_FAILED",
      `cannot set kernel.core_pattern to ${JSON.stringify(pattern)}`,
      { cause },
    );
  }
}
