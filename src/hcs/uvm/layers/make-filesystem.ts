import { execa } from "execa";
import { AgentError } from "../../../common/errors.ts";

/** A layer of several GB on a slow disk. */
const TIMEOUT_MS = 10 * 60_000;
const SHOWN_CHARACTERS = 2_000;

/** Runs mke2fs or mkfs.erofs. @throws AgentError SPAWN_FAILED, HELPER_TIMEOUT, HELPER_FAILED with its words */
export async function makeFilesystem(
  program: { readonly name: string; readonly debianPackage: string },
  parameters: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  const result = await execa(program.name, parameters, {
    timeout: TIMEOUT_MS,
    reject: false,
    stdin: "ignore",
    // Debian keeps mke2fs out of users' PATH; the machine's mke2fs.conf must not change the outcome.
    env: { PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin`, MKE2FS_CONFIG: "/dev/null" },
    ...(signal !== undefined && { cancelSignal: signal }),
  });
  if (!result.failed) return;
  if (result.isCanceled) throw new AgentError("ABORTED", `${program.name} was aborted`, { cause: result });
  if (result.timedOut) {
    throw new AgentError(
      "HELPER_TIMEOUT",
      `${program.name} was not done within ${TIMEOUT_MS / 60_000} minutes`,
    );
  }
  if (result.code === "ENOENT") {
    throw new AgentError(
      "SPAWN_FAILED",
      `${program.name} is missing; install the Debian package ${program.debianPackage}`,
    );
  }
  const words = result.stderr.trim().slice(0, SHOWN_CHARACTERS);
  throw new AgentError(
    "HELPER_FAILED",
    `${program.name} failed: ${words || (result.shortMessage ?? "no reason given")}`,
  );
}

export const MKE2FS = { name: "mke2fs", debianPackage: "e2fsprogs" };
export const MKFS_EROFS = { name: "mkfs.erofs", debianPackage: "erofs-utils" };
