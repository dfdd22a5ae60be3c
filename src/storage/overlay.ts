/** Layers united with overlayfs: a container's root. */
import { chmod, chown, type FileHandle, open, stat } from "node:fs/promises";
import { CleanupStack } from "../common/cleanup.ts";
import { AgentError } from "../common/errors.ts";
import { makeRemovableDirectories } from "../linux/directories.ts";
import { mount as mountCall, mountFlags } from "../linux/libc.ts";
import { checkPath, MAXIMUM_OPTIONS, type Mounted, mount } from "./mount.ts";

export interface OverlayRequest {
  readonly target: string;
  /** Topmost first. */
  readonly layers: readonly string[];
  /** Directory that gets `upper` and `work`; without one the union is read-only. */
  readonly scratch: string | undefined;
  /** The scratch directory becomes memory of at most this many bytes, gone with the union. */
  readonly scratchBytes?: number | undefined;
}

/** An inode of a tmpfs takes about 1 KiB of kernel memory; ordinary trees have fewer than one for this many bytes. */
const BYTES_PER_INODE = 8192;
const LEAST_INODES = 1024;

/** A path as overlayfs parses it: ":" separates layers, "," options. Source: kernel, Documentation/filesystems/overlayfs. */
function escapePath(path: string): string {
  return path.replace(/[\\:,]/g, "\\$&");
}

/** @throws AgentError INVALID_ARGUMENT, MOUNT_FAILED; then nothing is left behind. */
export async function mountOverlay(request: OverlayRequest): Promise<Mounted> {
  const { target, layers, scratch, scratchBytes } = request;
  // The root of the machine is a layer like any other: nothing is written to it.
  for (const layer of layers) if (layer !== "/") checkPath(layer, "layer");
  if (layers.length === 0) throw new AgentError("INVALID_ARGUMENT", `no layers for ${target}`);
  if (scratch === undefined && layers.length === 1) {
    // overlayfs wants two layers when none is writable; a second, empty one would do nothing but cost.
    return await mount({ source: layers[0] ?? "", target, type: "", options: ["bind"] }).then(
      remountReadOnly,
    );
  }
  const undo = new CleanupStack();
  try {
    const memory =
      scratch === undefined || scratchBytes === undefined ? undefined : await memoryAt(scratch, scratchBytes);
    if (memory !== undefined) undo.push(`unmount ${memory.target}`, () => memory.unmount());
    const writable = scratch === undefined ? ["ro"] : await writableOptions(scratch, layers[0] ?? "", undo);
    const union = await mountUnion(target, layers, writable);
    if (memory === undefined) return union;
    return {
      ...union,
      async unmount() {
        await union.unmount();
        await memory.unmount();
      },
    };
  } catch (error) {
    await undo.run();
    throw error;
  }
}

async function memoryAt(scratch: string, bytes: number): Promise<Mounted> {
  checkPath(scratch, "scratch");
  const inodes = Math.max(LEAST_INODES, Math.floor(bytes / BYTES_PER_INODE));
  return await mount({
    source: "scratch",
    target: scratch,
    type: "tmpfs",
    options: [`size=${bytes}`, `nr_inodes=${inodes}`, "mode=700"],
  });
}

async function writableOptions(scratch: string, topmost: string, undo: CleanupStack): Promise<string[]> {
  checkPath(scratch, "scratch");
  const options: string[] = [];
  for (const name of ["upper", "work"]) {
    const path = `${scratch}/${name}`;
    const made = await makeRemovableDirectories(path, 0o755);
    undo.push(`remove ${path}`, () => made.remove());
    // The union's own root is this directory: it looks as that of the layer below, whose owner may write there.
    if (name === "upper" && made.madeLast) await copyOwnership(topmost, path);
    options.push(`${name}dir=${escapePath(path)}`);
  }
  return options;
}

async function copyOwnership(from: string, to: string): Promise<void> {
  try {
    const { uid, gid, mode } = await stat(from);
    await chown(to, uid, gid);
    await chmod(to, mode & 0o7777);
  } catch (cause) {
    throw new AgentError("MOUNT_FAILED", `cannot use the layer ${from}`, { cause });
  }
}

async function mountUnion(target: string, layers: readonly string[], rest: string[]): Promise<Mounted> {
  const lower = `lowerdir=${layers.map(escapePath).join(":")}`;
  const request = { source: "overlay", target, type: "overlay" };
  if (Buffer.byteLength([lower, ...rest].join(",")) <= MAXIMUM_OPTIONS) {
    return await mount({ ...request, options: [lower, ...rest] });
  }
  // Too long to be named: the kernel finds them by the descriptors that are open meanwhile.
  const opened: FileHandle[] = [];
  try {
    for (const layer of layers) opened.push(await openLayer(layer));
    const short = opened.map(({ fd }) => `/proc/self/fd/${fd}`).join(":");
    return await mount({ ...request, options: [`lowerdir=${short}`, ...rest] });
  } finally {
    for (const handle of opened) await handle.close();
  }
}

async function openLayer(layer: string): Promise<FileHandle> {
  return await open(layer, "r").catch((cause: unknown) => {
    throw new AgentError("MOUNT_FAILED", `cannot open the layer ${layer}`, { cause });
  });
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
