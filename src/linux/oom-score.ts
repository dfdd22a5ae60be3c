import { writeFileSync } from "node:fs";
import { isSystemError } from "../common/system-error.ts";

/** Lets the kernel end a process of ours as any other when memory runs out: children start with our own score. */
export function resetOomScore(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, "0");
  } catch (error) {
    // It has ended already.
    if (!isSystemError(error, "ENOENT", "ESRCH")) throw error;
  }
}
