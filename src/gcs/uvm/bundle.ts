/** A container's bundle directory: what the agent writes there, and how that is taken away again. */
import { writeFileSync } from "node:fs";
import { AgentError } from "../../common/errors.ts";
import { stringifyJson } from "../../common/json.ts";
import { isSystemError } from "../../common/system-error.ts";
import { makeRemovableDirectories } from "../../linux/directories.ts";
import { removeFile } from "../../linux/remove.ts";
import type { OciSpec } from "../../protocol/schemas/oci.ts";
import type { EtcFile } from "./spec/etc-mounts.ts";

export interface Bundle {
  readonly path: string;
  /** Removes the files and directories made here; what others put there stays. */
  remove(): Promise<void>;
}

/**
 * @param path absolute; made, with its parents, when it is not there.
 * @throws AgentError SYSTEM_CALL_FAILED; then nothing is left behind.
 */
export async function writeBundle(path: string, spec: OciSpec, files: readonly EtcFile[]): Promise<Bundle> {
  const directories = await makeRemovableDirectories(path, 0o700);
  const contents = new Map([
    ...files.map((file) => [`${path}/${file.name}`, file.content] as const),
    [`${path}/config.json`, stringifyJson(spec)] as const,
  ]);
  const bundle: Bundle = {
    path,
    async remove() {
      for (const file of contents.keys()) removeOwn(file);
      await directories.remove();
    },
  };
  try {
    // A file that a container binds is replaced, never followed: the path may hold what somebody left there.
    // Synchronous: in memory, as /run is, each takes microseconds, and a promise per file much longer.
    for (const [file, content] of contents) {
      removeFile(file);
      writeFileSync(file, content, { flag: "wx", mode: 0o644 });
    }
    return bundle;
  } catch (cause) {
    await bundle.remove();
    throw new AgentError("SYSTEM_CALL_FAILED", `cannot write the bundle in ${JSON.stringify(path)}`, {
      cause,
    });
  }
}

/** A directory in the place of a file is somebody else's, as is what is behind a parent that is none any more. */
function removeOwn(file: string): void {
  try {
    removeFile(file);
  } catch (cause) {
    if (isSystemError(cause, "EISDIR", "ENOTDIR")) return;
    throw new AgentError("SYSTEM_CALL_FAILED", `cannot remove ${JSON.stringify(file)} of the bundle`, {
      cause,
    });
  }
}
