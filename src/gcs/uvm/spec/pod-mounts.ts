/**
 * Mounts of a workload that name what the pod, or the utility VM, has: `sandbox://a/b` a directory that the pod's
 * containers share, `sandbox-tmp://a` one in memory, `hugepages://2M/a` one of huge pages, `uvm:///etc` a path of the
 * VM itself, and on destinations `blockdev:///dev/x` a disk as a device.
 * Source: hcsshim internal/guest/runtime/hcsv2 (workload_container.go) and internal/guestpath.
 */
import { posix } from "node:path";
import { AgentError } from "../../../common/errors.ts";
import type { OciMount } from "../../../protocol/schemas/oci.ts";
import { quote } from "./annotations.ts";

/** A directory below a pod's root, and what hosts write before a path in it. */
const SHARED = {
  "sandbox://": "sandboxMounts",
  "sandbox-tmp://": "sandboxTmpfsMounts",
  "hugepages://": "hugepages",
} as const;
const UVM = "uvm://";
const BLOCK_DEVICE = "blockdev://";

export type SharedDirectory = (typeof SHARED)[keyof typeof SHARED];
export const SHARED_DIRECTORIES: readonly SharedDirectory[] = Object.values(SHARED);

/** What has to be there before the container is made. */
export interface NeededPath {
  readonly mount: OciMount;
  /** Absolute. */
  readonly path: string;
  /** In which directory of the pod: it is made when missing. None: a path of the VM, which has to be there. */
  readonly below?: SharedDirectory;
  /** Of huge pages, as in "2M". */
  readonly pageSize?: string;
}

export interface PodMounts {
  readonly mounts: readonly OciMount[];
  readonly needed: readonly NeededPath[];
  /** Mounts whose source is a disk: the container may use it. */
  readonly blockDevices: readonly OciMount[];
}

/**
 * @param podRoot absolute; none for a container of no pod.
 * @throws AgentError INVALID_ARGUMENT for a path out of its directory, a page size that is none, and for what only a
 *   pod has where there is none.
 */
export function resolvePodMounts(mounts: readonly OciMount[], podRoot: string | undefined): PodMounts {
  const needed: NeededPath[] = [];
  const blockDevices: OciMount[] = [];
  const resolved = mounts.map((mount) => {
    const found = resolveSource(mount, podRoot);
    if (found !== undefined) needed.push(found);
    const source = found === undefined ? mount : { ...mount, source: found.path };
    if (!mount.destination.startsWith(BLOCK_DEVICE)) return source;
    const device = { ...source, destination: mount.destination.slice(BLOCK_DEVICE.length) };
    blockDevices.push(device);
    return device;
  });
  return { mounts: resolved, needed, blockDevices };
}

function resolveSource(mount: OciMount, podRoot: string | undefined): NeededPath | undefined {
  const source = mount.source ?? "";
  if (source.startsWith(UVM)) {
    const path = source.slice(UVM.length);
    if (path.startsWith("/") && !path.includes("\0")) return { mount, path };
    throw refused(mount, `is no absolute path of the utility VM`);
  }
  for (const [prefix, below] of Object.entries(SHARED)) {
    if (!source.startsWith(prefix)) continue;
    if (podRoot === undefined)
      throw refused(mount, `is a pod's, and this container is in none: it has no container-type annotation`);
    const rest = source.slice(prefix.length);
    const directory = `${podRoot}/${below}`;
    const path = posix.join(directory, rest).replace(/\/$/, "");
    if (rest.includes("\0") || (path !== directory && !path.startsWith(`${directory}/`)))
      throw refused(mount, `is not within ${directory}`);
    if (below !== "hugepages") return { mount, path, below };
    return { mount, path, below, pageSize: pageSizeOf(mount, posix.relative(directory, path)) };
  }
  return undefined;
}

function pageSizeOf(mount: OciMount, relative: string): string {
  const [pageSize = "", ...name] = relative.split("/");
  if (/^\d+[KMG]$/.test(pageSize) && name.length > 0) return pageSize;
  throw refused(mount, `does not say the size of its pages and a name, as hugepages://2M/NAME does`);
}

function refused(mount: OciMount, why: string): AgentError {
  return new AgentError(
    "INVALID_ARGUMENT",
    `the mount on ${quote(mount.destination)}: source ${quote(mount.source ?? "")} ${why}`,
  );
}
