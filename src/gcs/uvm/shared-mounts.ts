/**
 * Whether the runtime mounted what it was told to. In a pod's shared directories its containers can write, and the
 * runtime follows links: one that takes the place of a directory after it was looked at would give the next container
 * another part of the utility VM. The container's program has not begun when this looks.
 */
import { lstatSync, readFileSync, readlinkSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { AgentError } from "../../common/errors.ts";
import { isSystemError } from "../../common/system-error.ts";
import { openDirectory } from "../../linux/directories.ts";
import { parseMountinfo } from "../../linux/mountinfo.ts";
import { quote } from "./spec/annotations.ts";
import type { NeededPath } from "./spec/pod-mounts.ts";

/** What of which file system, as in mountinfo. */
type Place = string;

export interface ExpectedMounts {
  /** By place: how many mounts of it. */
  readonly places: ReadonlyMap<Place, { readonly count: number; readonly needed: NeededPath }>;
}

/** Before the runtime is called. @throws AgentError SYSTEM_CALL_FAILED where a link is in the way */
export function expectMounts(needed: readonly NeededPath[]): ExpectedMounts {
  const shared = needed.filter(({ below }) => below !== undefined);
  const places = new Map<Place, { count: number; needed: NeededPath }>();
  if (shared.length === 0) return { places };
  const mounts = new Map(
    parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8")).map((mount) => [mount.id, mount]),
  );
  for (const one of shared) {
    const { mountId, path } = locate(one.path);
    const mount = mounts.get(mountId);
    if (mount === undefined) throw changed(one);
    const place = placeOf(mount, path);
    places.set(place, { count: (places.get(place)?.count ?? 0) + 1, needed: one });
  }
  return { places };
}

/** @param pid of the container's init @throws AgentError INVALID_STATE when something else was mounted */
export async function checkMounts({ places }: ExpectedMounts, pid: number): Promise<void> {
  if (places.size === 0) return;
  const found = new Map<Place, number>();
  for (const { device, root } of parseMountinfo(await readFile(`/proc/${pid}/mountinfo`, "utf8")))
    found.set(`${device} ${root}`, (found.get(`${device} ${root}`) ?? 0) + 1);
  for (const [place, { count, needed }] of places) if ((found.get(place) ?? 0) < count) throw changed(needed);
}

/** A directory may be a mount point; of a file it is enough to know where it is. */
function locate(path: string): { mountId: string; path: string } {
  try {
    using directory = openDirectory(path);
    return { mountId: directory.mountId, path: readlinkSync(directory.path()) };
  } catch (error) {
    if (!(error instanceof AgentError && isSystemError(error.cause, "ENOTDIR"))) throw error;
    using parent = openDirectory(dirname(path));
    const name = basename(path);
    if (lstatSync(parent.path(name), { throwIfNoEntry: false })?.isFile() !== true) throw error;
    return { mountId: parent.mountId, path: `${readlinkSync(parent.path())}/${name}` };
  }
}

function placeOf(mount: { device: string; root: string; mountPoint: string }, path: string): Place {
  const below = path.slice(mount.mountPoint === "/" ? 0 : mount.mountPoint.length);
  return `${mount.device} ${mount.root === "/" ? below || "/" : mount.root + below}`;
}

function changed({ path, mount }: NeededPath): AgentError {
  return new AgentError(
    "INVALID_STATE",
    `the mount on ${quote(mount.destination)}: ${path} became something else while the container was made`,
  );
}
