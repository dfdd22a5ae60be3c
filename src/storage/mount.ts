/** Mounting on a directory that is made for it, and taking both away again. */
import { isAbsolute, normalize } from "node:path";
import { AgentError } from "../errors.ts";
import { CleanupStack } from "../linux/cleanup.ts";
import { makeDirectories } from "../linux/directories.ts";
import { mount as mountCall, unmount } from "../linux/libc.ts";
import { parseMountOptions } from "./mount-options.ts";

export interface MountRequest {
  readonly source: string;
  /** Absolute; made when missing. */
  readonly target: string;
  readonly type: string;
  readonly options: readonly string[];
}

export interface Mounted {
  readonly target: string;
  /** Unmounts, then removes the directories that were made. @throws AgentError MOUNT_FAILED while it is in use. */
  unmount(): Promise<void>;
}

/** @throws AgentError INVALID_ARGUMENT for a path that is not absolute, or climbs. */
export function checkPath(path: string, field: string): void {
  if (!isAbsolute(path) || normalize(path) !== path || path === "/" || path.includes("\0")) {
    throw new AgentError("INVALID_ARGUMENT", `${field} ${JSON.stringify(path)} is not a plain absolute path`);
  }
}

/** @throws AgentError INVALID_ARGUMENT, MOUNT_FAILED; then nothing is left behind. */
export async function mount(request: MountRequest): Promise<Mounted> {
  const { source, target, type, options } = request;
  checkPath(target, "mount target");
  const { flags, propagation, data } = parseMountOptions(options);
  const undo = new CleanupStack();
  const directories = await makeDirectories(target, 0o755);
  undo.push(`remove ${target}`, () => directories.remove());
  try {
    await mountCall(source, target, type, flags, data);
    undo.push(`unmount ${target}`, () => unmount(target));
    for (const change of propagation) await mountCall("none", target, "", change);
  } catch (cause) {
    await undo.run();
    throw new AgentError("MOUNT_FAILED", `cannot mount ${type} ${source} on ${target}`, { cause });
  }
  return {
    target,
    async unmount() {
      try {
        await unmount(target);
      } catch (cause) {
        throw new AgentError("MOUNT_FAILED", `cannot unmount ${target}; something still uses it`, { cause });
      }
      await directories.remove();
    },
  };
}
