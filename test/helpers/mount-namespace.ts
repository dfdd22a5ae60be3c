import { spawnSync } from "node:child_process";

/** Set in the program that runs there. */
const VARIABLE = "LCOW_TEST_MOUNT_NAMESPACE";

/**
 * Runs this program again, in a mount namespace of its own: what it mounts there is gone with it.
 *
 * @param prepare commands of a shell to be run there first; `true` for none
 * @returns true when it was run there, to its end: the caller has nothing left to do.
 */
export function reExecuteInMountNamespace(prepare = "true"): boolean {
  if (process.env[VARIABLE] !== undefined) return false;
  const { status, signal, error } = spawnSync(
    "unshare",
    [
      ...["--mount", "sh", "-c", `${prepare} && exec "$@"`, "sh"],
      ...[process.execPath, ...process.execArgv, ...process.argv.slice(1)],
    ],
    { stdio: "inherit", env: { ...process.env, [VARIABLE]: "1" } },
  );
  if (error) throw error;
  process.exitCode = signal === null ? (status ?? 1) : 1;
  return true;
}
