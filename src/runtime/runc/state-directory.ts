import { readdirSync } from "node:fs";
import { basename } from "node:path";
import { AgentError } from "../../common/errors.ts";
import { isSystemError } from "../../common/system-error.ts";
import type { Cgroup } from "../../linux/cgroups/cgroup.ts";
import { removeFlatDirectory } from "../../linux/remove.ts";

/** Where runtimes keep their state when root runs them: man runc, man crun. */
const defaultRoots = new Map([
  ["runc", "/run/runc"],
  ["crun", "/run/crun"],
]);

/**
 * What a runtime is known to keep of a container, all of it plain files; held against each runc and crun of Debian by
 * test/runtime/debian-runtimes.test.ts. With anything else there, it is the runtime that knows how to delete it.
 */
const knownFiles: readonly (readonly [always: string, maybe: readonly string[]])[] = [
  ["state.json", ["exec.fifo"]],
  ["status", ["config.json", "exec.fifo"]],
];

/** @returns undefined where the runtime is none whose directories are known. */
export function stateDirectoryOf(
  command: string,
  stateRoot: string | undefined,
  id: string,
): string | undefined {
  const root = stateRootOf(command, stateRoot);
  return root === undefined ? undefined : `${root}/${id}`;
}

/** The directory of all containers' directories. */
export function stateRootOf(command: string, stateRoot: string | undefined): string | undefined {
  const defaultRoot = defaultRoots.get(basename(command));
  return defaultRoot === undefined ? undefined : (stateRoot ?? defaultRoot);
}

/** What a runtime has of a container whose init has exited. */
export interface Remains {
  /** The runtime's own directory for it. */
  readonly directory: string;
  readonly cgroup: Cgroup;
}

/**
 * Does what the runtime's `delete` does for a container whose init has exited and that has no poststop hooks: its
 * cgroup goes, then its state (libcontainer/state_linux.go, libcrun/container.c). That saves a call of the runtime,
 * a quarter of a short container's life.
 *
 * @returns false when something is not as expected: the runtime itself is to delete, or to say why not.
 */
export async function removeRemains({ directory, cgroup }: Remains): Promise<boolean> {
  if (!isAsKnown(directory)) return false;
  try {
    await cgroup.remove();
    removeFlatDirectory(directory);
    return true;
  } catch (error) {
    if (error instanceof AgentError || isSystemError(error, "EISDIR", "EPERM", "ENOTEMPTY")) return false;
    throw error;
  }
}

function isAsKnown(directory: string): boolean {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return knownFiles.some(
      ([always, maybe]) =>
        entries.some(({ name }) => name === always) &&
        entries.every(
          (entry) => (entry.isFile() || entry.isFIFO()) && [always, ...maybe].includes(entry.name),
        ),
    );
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return false;
    throw error;
  }
}
