/** What can be removed of what was kept to be faster, or left behind by processes that were killed. */
import { existsSync, lstatSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { cacheEntries, diskUsage } from "../../common/cache/cache.ts";
import { cacheHome } from "../../common/cache/cache-directory.ts";
import type { Entries } from "../../common/cache/entries.ts";
import { type AbandonedDirectory, abandonedDirectories } from "../../common/cache/temporary-directory.ts";
import { isPackaged, packageRoot } from "../../common/installation.ts";
import { currentRootName } from "./busybox-root.ts";
import { removeTraces, tracesIn } from "./local/agent-traces.ts";

export interface Removable {
  /** "image of a directory" */
  readonly what: string;
  readonly path: string;
  /** What it takes on the disk. */
  readonly bytes: number;
  /** @returns false when somebody came to use it meanwhile */
  remove(): Promise<boolean>;
}

/** Node's compiled code, where bin/lcow has it kept; in the package bin/launch.cjs. */
function compileCacheDirectory(): string {
  return isPackaged ? join(cacheHome(), "compile") : join(packageRoot, "out/cache/compile");
}

/**
 * @param all what the next run would make again at once, too: the default root, whether KVM works, compiled code
 * @throws AgentError INVALID_ARGUMENT when the cache is not safe
 */
export async function findRemovable(all: boolean): Promise<Removable[]> {
  const layers = await cacheEntries("layers");
  const roots = await cacheEntries("roots");
  const current = all ? undefined : await currentRootName();
  const other = all ? [...olderRoots(), join(cacheHome(), "qemu"), ...compileCache()].filter(existsSync) : [];
  return [
    ...unused(layers, "image of a directory"),
    ...unused(roots, "default root", current),
    ...[layers, roots].flatMap((entries) => entries.abandoned()).map((path) => directory("half-made", path)),
    ...other.map((path) => directory("cached for the next start", path)),
    ...abandonedDirectories().map(temporary),
  ];
}

function unused(entries: Entries, what: string, kept?: string): Removable[] {
  entries.sweep();
  return entries
    .list()
    .filter(({ name }) => name !== kept && !entries.isUsed(name))
    .map(({ name, path }) => ({
      what,
      path,
      bytes: diskUsage(path),
      remove: async () => entries.remove(name),
    }));
}

function directory(what: string, path: string): Removable {
  return {
    what,
    path,
    bytes: diskUsage(path),
    async remove() {
      await rm(path, { recursive: true, force: true });
      return true;
    },
  };
}

/** None where somebody else's is used, or the checkout is another user's. */
function compileCache(): string[] {
  const directory = compileCacheDirectory();
  const used = process.env.NODE_COMPILE_CACHE;
  // The package's launcher names none to the command that removes it.
  if (!isPackaged && (used === undefined || resolve(used) !== directory)) return [];
  return lstatSync(directory, { throwIfNoEntry: false })?.uid === process.geteuid?.() ? [directory] : [];
}

/** Of versions that kept them beside the other directories. */
function olderRoots(): string[] {
  return readdirSync(cacheHome())
    .filter((name) => name.startsWith("busybox-root-"))
    .map((name) => join(cacheHome(), name));
}

function temporary({ kind, path, note }: AbandonedDirectory): Removable {
  if (kind !== "lcow-gcs") return directory("left by a killed process", path);
  return {
    ...directory("left by a killed agent", path),
    // What is mounted below is the containers' and no part of it.
    bytes: 0,
    async remove() {
      await removeTraces(tracesIn(path, note || undefined));
      return true;
    },
  };
}
