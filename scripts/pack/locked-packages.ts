import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface LockedPackage {
  readonly name: string;
  readonly version: string;
  /** An expression of SPDX. */
  readonly license: string | undefined;
  /** "sha512-" and base64. */
  readonly integrity: string;
  /** Where it lies, from the root. */
  readonly path: string;
}

interface Entry {
  readonly version: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** What package-lock.json has of these packages, and of all that they need in turn, sorted by name. */
export function lockedPackages(root: string, names: readonly string[]): LockedPackage[] {
  const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")) as {
    packages: Record<string, Entry>;
  };
  const found = new Map<string, LockedPackage>();
  const add = (name: string, from: string): void => {
    // As Node looks for it: beside who needs it, or further out.
    for (let above = from; ; above = above.slice(0, Math.max(above.lastIndexOf("/node_modules/"), 0))) {
      const path = `${above === "" ? "" : `${above}/`}node_modules/${name}`;
      const entry = lock.packages[path];
      if (entry !== undefined) {
        if (found.has(path)) return;
        const { version, license, integrity = "" } = entry;
        found.set(path, { name, version, license, integrity, path });
        for (const needed of Object.keys({ ...entry.dependencies, ...entry.optionalDependencies }))
          add(needed, path);
        return;
      }
      // Optional ones of other platforms may have no entry.
      if (above === "") return;
    }
  };
  for (const name of names) add(name, "");
  return [...found.values()].toSorted((one, other) => (one.path < other.path ? -1 : 1));
}
