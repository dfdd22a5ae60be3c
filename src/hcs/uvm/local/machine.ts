import { access, readFile } from "node:fs/promises";

/** What this machine lets containers have. */
export interface Machine {
  /** cgroup v2 alone, mounted at /sys/fs/cgroup. */
  readonly hasUnifiedCgroups: boolean;
  /** Our own hard RLIMIT_NOFILE: without CAP_SYS_RESOURCE (in a container, say) even root cannot go above it. */
  readonly maximumOpenFiles?: number;
}

export async function inspectMachine(): Promise<Machine> {
  const [hasUnifiedCgroups, limits] = await Promise.all([
    access("/sys/fs/cgroup/cgroup.controllers").then(
      () => true,
      () => false,
    ),
    readFile("/proc/self/limits", "utf8"),
  ]);
  // "Max open files   SOFT   HARD   files"; proc_pid_limits(5)
  const hard = /^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1];
  return {
    hasUnifiedCgroups,
    ...(hard !== undefined && { maximumOpenFiles: Math.min(Number(hard), 1024 * 1024) }),
  };
}
