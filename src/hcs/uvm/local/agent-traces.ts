import { access, constants, readdir, readFile, rm, rmdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { makeTemporaryDirectory } from "../../../common/cache/temporary-directory.ts";
import { AgentError } from "../../../common/errors.ts";
import { runHelper } from "../../../common/helper.ts";

const HELPER_DEADLINE_MS = 20_000;

/**
 * A directory of this process alone, mode 0700: under /run where that is writable, else under the TMPDIR.
 * @param ociRuntime of the agent that it is for, should somebody else have to clean up
 */
export async function makePrivateDirectory(ociRuntime = "runc"): Promise<string> {
  const parent = await access("/run", constants.W_OK).then(
    () => "/run",
    () => undefined,
  );
  return makeTemporaryDirectory("lcow-gcs", parent, ociRuntime);
}

/** What an agent makes outside its memory. */
export interface AgentTraces {
  /** Its private directory. */
  readonly directory: string;
  readonly ociRuntime: string;
  /** The OCI runtime's state: a directory for each container. */
  readonly runtimeRoot: string;
  /** Under which its containers' cgroups are: "/lcow-gcs-x". */
  readonly cgroupParent: string;
}

/** What an agent makes whose private directory this is. */
export function tracesIn(directory: string, ociRuntime = "runc"): AgentTraces {
  return {
    directory,
    ociRuntime,
    runtimeRoot: join(directory, "runtime"),
    cgroupParent: `/${basename(directory)}`,
  };
}

/**
 * Does an agent's cleaning up in its place, after it was killed: ends and deletes the containers of its OCI
 * runtime, unmounts what is mounted below its directory, and removes that. Does nothing where nothing is left.
 * @throws AgentError HELPER_FAILED naming what is left and how to remove it
 */
export async function removeTraces(traces: AgentTraces): Promise<void> {
  const { directory, ociRuntime, runtimeRoot } = traces;
  const failures: unknown[] = [];
  const attempt = async (command: string, ...args: string[]) => {
    await runHelper(command, args, { deadlineMs: HELPER_DEADLINE_MS }).catch((cause: unknown) =>
      failures.push(cause),
    );
  };
  for (const id of await list(runtimeRoot)) {
    await attempt(ociRuntime, "--root", runtimeRoot, "delete", "--force", id);
  }
  for (const cgroup of await cgroupsAt(traces.cgroupParent)) {
    await rmdir(cgroup).catch((cause: unknown) => failures.push(cause));
  }
  for (const mountPoint of await mountPointsBelow(directory))
    await attempt("umount", "--lazy", "--", mountPoint);
  // Never remove across a mount point: what is behind it belongs to somebody else.
  const mounted = await mountPointsBelow(directory);
  if (mounted.length === 0 && failures.length === 0) {
    await rm(directory, { recursive: true, force: true }).catch((cause: unknown) => failures.push(cause));
  }
  if (mounted.length === 0 && failures.length === 0) return;
  const mounts = mounted.length === 0 ? "" : `; mounted still: ${mounted.join(", ")}`;
  throw new AgentError("HELPER_FAILED", `could not clean up ${directory}${mounts}; remove it by hand`, {
    cause: failures[0],
  });
}

async function list(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return [];
    throw new AgentError("SYSTEM_CALL_FAILED", `cannot read ${directory}`, { cause });
  }
}

/** Innermost first. Field 5 of each line, with blanks escaped as octal: proc_pid_mountinfo(5). */
async function mountPointsBelow(directory: string): Promise<string[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).trimEnd().split("\n");
  return lines
    .map((line) =>
      (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_, digits) =>
        String.fromCharCode(parseInt(digits, 8)),
      ),
    )
    .filter((path) => path.startsWith(`${directory}/`))
    .reverse();
}

/** The directories of a cgroup: one in each controller's hierarchy, with cgroup v2 a single one. */
async function cgroupsAt(path: string): Promise<string[]> {
  const hierarchies = ["", ...(await list("/sys/fs/cgroup"))].map((name) =>
    join("/sys/fs/cgroup", name, path),
  );
  const found = await Promise.all(
    hierarchies.map((directory) =>
      // Under a hierarchy that is not mounted it would be a directory like any other, which is not ours.
      access(join(directory, "cgroup.procs")).then(
        () => [directory],
        () => [],
      ),
    ),
  );
  return found.flat();
}
