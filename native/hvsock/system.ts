import { stat } from "node:fs";
import { binding } from "./binding.ts";

/**
 * prctl(PR_SET_CHILD_SUBREAPER): here and not with the libc calls of src/linux, since every start of the agent
 * makes it, and should not wait for koffi to load. @throws Error with `code`, `errno` and `syscall`.
 */
export function becomeSubreaper(): void {
  binding.becomeSubreaper();
}

/**
 * Makes the threads that else come with their first use, the addon's and those of Node's own file calls: a machine that
 * runs out of threads later no longer stops what needs them. (Node's would end the process then.)
 * @throws Error with code EAGAIN where there is no room for the addon's
 */
export function startThreads(): void {
  stat("/", () => {});
  binding.startThreads();
}
