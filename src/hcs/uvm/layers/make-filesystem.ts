import { runHelper } from "../../../common/helper.ts";

/** A layer of several GB on a slow disk. */
const TIMEOUT_MS = 10 * 60_000;

/** Runs mke2fs or mkfs.erofs. @throws AgentError SPAWN_FAILED, HELPER_TIMEOUT, HELPER_FAILED with its words, ABORTED */
export async function makeFilesystem(
  program: { readonly name: string; readonly debianPackage: string },
  parameters: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  await runHelper(program.name, parameters, {
    deadlineMs: TIMEOUT_MS,
    // Debian keeps mke2fs out of users' PATH; the machine's mke2fs.conf must not change the outcome.
    addedEnv: { PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin`, LC_ALL: "C", MKE2FS_CONFIG: "/dev/null" },
    remedy: `is the Debian package ${program.debianPackage} installed?`,
    signal,
  });
}

export const MKE2FS = { name: "mke2fs", debianPackage: "e2fsprogs" };
export const MKFS_EROFS = { name: "mkfs.erofs", debianPackage: "erofs-utils" };
