import { existsSync } from "node:fs";
import { reExecuteInMountNamespace } from "./mount-namespace.ts";

/**
 * crun refuses the hybrid cgroup layout (v1 controllers beside an empty cgroup2). On such a machine this runs the
 * program again, in a mount namespace where the cgroup2 is unmounted, which makes the layout plain v1.
 *
 * @returns true when it was run there, to its end: the caller has nothing left to do.
 */
export function reExecuteInPlainCgroups(): boolean {
  const unified = "/sys/fs/cgroup/unified";
  if (!existsSync(`${unified}/cgroup.procs`)) return false;
  // An empty file system in its place: crun makes directories there, which must end with the namespace.
  return reExecuteInMountNamespace(`umount ${unified} && mount -t tmpfs none ${unified}`);
}
