/** The user's cache: what kinds of entries it has, and how much of them is kept. */
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { AgentError } from "../errors.ts";
import { parseSize } from "../size.ts";
import { cacheDirectory } from "./cache-directory.ts";
import { Entries, type Entry } from "./entries.ts";

/** "layers": images of directories, one each time a directory has changed. "roots": the default root. */
export type Kind = "layers" | "roots";

export interface Bounds {
  /** What all take on the disk. */
  readonly bytes: number;
  readonly count: number;
}

const BLOCK = 512;
const DEFAULT_BYTES = 8 * 2 ** 30;
/** Each has a file system's tables, however little is in it. */
const MAXIMUM_COUNT = 64;

/** @throws AgentError INVALID_ARGUMENT when the cache is not safe, SYSTEM_CALL_FAILED */
export async function cacheEntries(kind: Kind): Promise<Entries> {
  const marks = await cacheDirectory("in-use");
  return new Entries(kind, await cacheDirectory(kind), marks);
}

/** LCOW_CACHE_SIZE, such as "500m" or "20g"; default 8 GiB. @throws AgentError INVALID_ARGUMENT */
export function cacheBounds(): Bounds {
  const text = process.env.LCOW_CACHE_SIZE || undefined;
  if (text === undefined) return { bytes: DEFAULT_BYTES, count: MAXIMUM_COUNT };
  const bytes = parseSize(text);
  if (bytes !== undefined) return { bytes, count: MAXIMUM_COUNT };
  throw new AgentError("INVALID_ARGUMENT", `LCOW_CACHE_SIZE=${text}: expected a size, such as 500m or 20g`);
}

/** Removes those not used for longest until the rest is within bounds; never one in use. @returns what it removed */
export function trim(entries: Entries, bounds: Bounds): (Entry & { bytes: number })[] {
  entries.sweep();
  const removed: (Entry & { bytes: number })[] = [];
  const sized = entries.list().map((entry) => ({ ...entry, bytes: diskUsage(entry.path) }));
  let total = sized.reduce((sum, { bytes }) => sum + bytes, 0);
  let count = sized.length;
  for (const entry of sized.toReversed()) {
    if (total <= bounds.bytes && count <= bounds.count) break;
    if (!entries.remove(entry.name)) continue;
    total -= entry.bytes;
    count--;
    removed.push(entry);
  }
  return removed;
}

/** Bytes that a file or a directory tree takes on the disk; of what goes away meanwhile, 0. */
export function diskUsage(path: string): number {
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status === undefined) return 0;
  const own = status.blocks * BLOCK;
  return status.isDirectory()
    ? namesIn(path).reduce((sum, name) => sum + diskUsage(join(path, name)), own)
    : own;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // removed meanwhile
  }
}
