/**
 * missing-packages.ts [DIRECTORY]: the npm packages that the lock file wants on this machine and node_modules has not,
 * one a line, each as NAME@VERSION. npm leaves optional packages out without a word, for reasons of its own (the Node
 * that it runs on, a registry that lacks one); those of this platform are none that we can do without.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";

type Names = string | readonly string[];

interface LockEntry {
  readonly version?: string;
  readonly link?: boolean;
  readonly optional?: boolean;
  readonly os?: Names;
  readonly cpu?: Names;
  readonly libc?: Names;
}

const project = process.argv[2] ?? join(import.meta.dirname, "..");
const lock = JSON.parse(readFileSync(join(project, "package-lock.json"), "utf8")) as {
  packages: Record<string, LockEntry>;
};
const here = { os: process.platform, cpu: process.arch, libc: "glibc" } as const;

/** As npm reads os, cpu and libc: no list is any, and "!NAME" is any but that. */
function fits(names: Names | undefined, value: string): boolean {
  const list = typeof names === "string" ? [names] : names;
  if (list === undefined || list.includes(value)) return true;
  return list.every((name) => name.startsWith("!")) && !list.includes(`!${value}`);
}

function installedVersion(where: string): string | undefined {
  try {
    return (JSON.parse(readFileSync(join(project, where, "package.json"), "utf8")) as LockEntry).version;
  } catch {
    // Absent or cut short: npm has to put it there, whichever it is.
    return undefined;
  }
}

for (const [where, entry] of Object.entries(lock.packages)) {
  // What is optional and names no platform is asked for only by packages of other platforms.
  const isOurs = entry.optional !== true || (entry.os ?? entry.cpu) !== undefined;
  const isWanted =
    isOurs && fits(entry.os, here.os) && fits(entry.cpu, here.cpu) && fits(entry.libc, here.libc);
  if (where === "" || entry.link === true || !isWanted || installedVersion(where) === entry.version) continue;
  const name = where.slice(where.lastIndexOf("node_modules/") + "node_modules/".length);
  console.log(`${name}@${entry.version}`);
}
