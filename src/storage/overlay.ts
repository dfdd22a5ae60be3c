/** Layers united with overlayfs: a container's root. */
import { AgentError } from "../errors.ts";
import { CleanupStack } from "../linux/cleanup.ts";
import { makeDirectories } from "../linux/directories.ts";
import { mount as mountCall, mountFlags } from "../linux/libc.ts";
import { checkPath, type Mounted, mount } from "./mount.ts";

export interface OverlayRequest {
  readonly target: string;
  /** Topmost first. */
  readonly layers: readonly string[];
  /** Directory that gets `upper` and `work`; without one the union is read-only. */
  readonly scratch: string | undefined;
}

/** A path as overlayfs parses it: ":" separates layers, "," options. Source: kernel, Documentation/filesystems/overlayfs. */
function escapePath(path: string): string {
  return path.replace(/[\\:,]/g, "\\$&");
}

/** @throws AgentError INVALID_ARGUMENT, MOUNT_FAILED; then nothing is left behind. */
export async function mountOverlay(request: OverlayRequest): Promise<Mounted> {
  const { target, layers, scratch } = request;
  for (const layer of layers) checkPath(layer, "layer");
  if (layers.length === 0) throw new AgentError("INVALID_ARGUMENT", `no layers for ${target}`);
  const undo = new CleanupStack();
  const options = [`lowerdir=${layers.map(escapePath).join(":")}`];
  try {
    if (scratch !== undefined) {
      checkPath(scratch, "scratch");
      for (const name of ["upper", "work"]) {
        const made = await makeDirectories(`${scratch}/${name}`, 0o755);
        undo.push(`remove ${scratch}/${name}`, () => made.remove());
        options.push(`${name}dir=${escapePath(`${scratch}/${name}`)}`);
      }
    } else if (layers.length === 1) {
      // overlayfs wants two layers when none is writable; a second, empty one would do nothing but cost.
      return await mount({ source: layers[0] ?? "", target, type: "", options: ["bind"] }).then(
        remountReadOnly,
      );
    }
    return await mount({
      source: "overlay",
      target,
      type: "overlay",
      options: scratch === undefined ? ["ro", ...options] : options,
    });
  } catch (error) {
    await undo.run();
    throw error;
  }
}

async function remountReadOnly(mounted: Mounted): Promise<Mounted> {
  try {
    await mountCall("none", mounted.place, "", mountFlags.bind | mountFlags.remount | mountFlags.readOnly);
    return mounted;
  } catch (cause) {
    await mounted.unmount();
    throw new AgentError("MOUNT_FAILED", `cannot make ${mounted.target} read-only`, { cause });
  }
}
