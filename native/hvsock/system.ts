import { binding } from "./binding.ts";

/**
 * prctl(PR_SET_CHILD_SUBREAPER): here and not with the libc calls of src/linux, since every start of the agent
 * makes it, and should not wait for koffi to load. @throws Error with `code`, `errno` and `syscall`.
 */
export function becomeSubreaper(): void {
  binding.becomeSubreaper();
}
