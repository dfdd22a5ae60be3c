import { closeFd, pidfdOpen, waitPidfd } from "../../../native/hvsock/index.ts";

/**
 * Settles when a process has ended that is no child of this one.
 * @param isIt whether the process of that number is the one that is meant, rather than one that got the number since
 * @throws AgentError, Error of the kernel where it cannot be watched
 */
export async function processEnd(pid: number, isIt: () => Promise<boolean>): Promise<void> {
  let pidfd: number;
  try {
    pidfd = pidfdOpen(pid);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return;
    throw error;
  }
  try {
    if (await isIt()) await waitPidfd(pidfd);
  } finally {
    closeFd(pidfd);
  }
}
