import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

/**
 * crun refuses the hybrid cgroup layout (v1 controllers beside an empty cgroup2). On such a machine this runs the
 * program again, in a mount namespace where the cgroup2 is unmounted, which makes the layout plain v1.
 *
 * @returns true when it was run there, to its end: the caller has nothing left to do.
 */
export function reExecuteInPlainCgroups(): boolean {
  const unified = "/sys/fs/cgroup/unified";
  if (process.env.LCOW_TEST_PLAIN_CGROUPS !== undefined || !existsSync(`${unified}/cgroup.procs`))
    return false;
  // An empty file system in its place: crun makes directories there, which must end with the namespace.
  const script = `umount ${unified} && mount -t tmpfs none ${unified} && exec "$@"`;
  const { status, signal, error } = spawnSync(
    "unshare",
    ["--mount", "sh", "-c", script, "sh", process.execPath, ...process.execArgv, ...process.argv.slice(1)],
    { stdio: "inherit", env: { ...process.env, LCOW_TEST_PLAIN_CGROUPS: "1" } },
  );
  if (error) throw error;
  process.exitCode = signal === null ? (status ?? 1) : 1;
  return true;
}
