/** Mounting on a directory that is made for it, and taking both away again. */
import { basename, dirname, isAbsolute, normalize } from "node:path";
import { CleanupStack } from "../common/cleanup.ts";
import { AgentError } from "../common/errors.ts";
import { isSystemError } from "../common/system-error.ts";
import { type DirectoryHandle, makeRemovableDirectories, openDirectory } from "../linux/directories.ts";
import { mount as mountCall, unmount, unmountFlags } from "../linux/libc.ts";
import { parseMountOptions } from "./mount-options.ts";

/** Bytes of a file system's own options: mount(2) takes one page, the terminating NUL included, and cuts off what is more. */
export const MAXIMUM_OPTIONS = 4096 - 1;

export interface MountRequest {
  readonly source: string;
  /** Absolute; made when missing. */
  readonly target: string;
  readonly type: string;
  readonly options: readonly string[];
}

export interface Mounted {
  readonly target: string;
  /** Leads to what is mounted, whatever has happened to the path meanwhile; until unmount(). */
  readonly place: string;
  /** Unmounts, then removes the directories that were made. @throws AgentError MOUNT_FAILED while it is in use. */
  unmount(): Promise<void>;
}

/** @throws AgentError INVALID_ARGUMENT for a path that is not absolute, or climbs. */
export function checkPath(path: string, field: string): void {
  if (!isAbsolute(path) || normalize(path) !== path || path === "/" || path.includes("\0")) {
    throw new AgentError("INVALID_ARGUMENT", `${field} ${JSON.stringify(path)} is not a plain absolute path`);
  }
}

/**
 * Mounts onto the very directory that the path leads to, which it must do without a link.
 * @throws AgentError INVALID_ARGUMENT (also for options that are longer than the kernel takes), MOUNT_FAILED; then
 *   nothing is left behind.
 */
export async function mount(request: MountRequest): Promise<Mounted> {
  const { source, target, type, options } = request;
  checkPath(target, "mount target");
  const { flags, propagation, data } = parseMountOptions(options);
  checkWords({ source, type, data }, target);
  const undo = new CleanupStack();
  const directories = await makeRemovableDirectories(target, 0o755);
  undo.push(`remove ${target}`, () => directories.remove());
  try {
    const parent = openDirectory(dirname(target));
    undo.push(`close ${dirname(target)}`, () => parent[Symbol.dispose]());
    const place = parent.path(basename(target));
    await mountOnto(parent, basename(target), { source, type, flags, data });
    undo.push(`unmount ${target}`, () => unmount(place, unmountFlags.noFollow));
    let isMounted = true;
    for (const change of propagation) await mountCall("none", place, "", change);
    return {
      target,
      place,
      async unmount() {
        if (isMounted) {
          await unmountAt(place, target);
          isMounted = false;
          parent[Symbol.dispose]();
        }
        await directories.remove();
      },
    };
  } catch (cause) {
    await undo.run();
    throw new AgentError("MOUNT_FAILED", `cannot mount ${type} ${source} on ${target}`, { cause });
  }
}

/** What the kernel would be given only a part of, and do something else with success. */
function checkWords(words: Readonly<Record<string, string>>, target: string): void {
  for (const [name, text] of Object.entries(words)) {
    if (text.includes("\0"))
      throw new AgentError("INVALID_ARGUMENT", `the ${name} of the mount on ${target} has a NUL character`);
    const bytes = Buffer.byteLength(text);
    if (bytes > MAXIMUM_OPTIONS) {
      throw new AgentError(
        "INVALID_ARGUMENT",
        `the ${name === "data" ? "options" : name} of the mount on ${target} are ${bytes} bytes; the kernel takes ${MAXIMUM_OPTIONS} at most`,
      );
    }
  }
}

async function mountOnto(
  parent: DirectoryHandle,
  name: string,
  { source, type, flags, data }: { source: string; type: string; flags: number; data: string },
): Promise<void> {
  // Opened here, not to be found again by its name, which may be another directory's by then.
  const directory = parent.open(name);
  await mountCall(source, directory.path(), type, flags, data, directory);
}

async function unmountAt(place: string, target: string): Promise<void> {
  try {
    await unmount(place, unmountFlags.noFollow);
  } catch (cause) {
    // Whoever removes or renames a mount point in another mount namespace takes the mount away with it.
    if (cause instanceof AgentError && isSystemError(cause.cause, "EINVAL", "ENOENT")) return;
    throw new AgentError("MOUNT_FAILED", `cannot unmount ${target}; something still uses it`, { cause });
  }
}
