import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface PackageManifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** Where each entry of `exports` is in the sources; package.json of the checkout has the same names. */
export const ENTRIES: Readonly<Record<string, string>> = {
  ".": "src/hcs/index",
  "./runtime": "src/runtime/index",
  "./protocol": "src/protocol/index",
};

/** package.json of the package, made of the checkout's. */
export function manifestOf(root: string): PackageManifest {
  const own = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as PackageManifest;
  const { name, version, description, license, type, dependencies } = own;
  return {
    name,
    version,
    description,
    license,
    type,
    keywords: [
      "containers",
      "virtual machine",
      "runc",
      "crun",
      "qemu",
      "hcsshim",
      "lcow",
      "vsock",
      "sandbox",
    ],
    // Said again by bin/launch.cjs, to whom npm's warning did not reach.
    engines: { node: ">=22.15" },
    man: ["man/lcow.1"],
    bin: { lcow: "bin/lcow.cjs", gcs: "bin/gcs.cjs" },
    exports: {
      ...Object.fromEntries(
        Object.entries(ENTRIES).map(([entry, source]) => [
          entry,
          { types: `./dist/${source}.d.ts`, default: `./dist/${source}.js` },
        ]),
      ),
      "./package.json": "./package.json",
    },
    files: ["bin", "completions", "dist", "docs", "man", "native", "image-sources.tgz", "CHANGELOG.md"],
    scripts: { install: "node bin/install.cjs" },
    dependencies,
    // So that a package manager that keeps packages apart lets this one find its image.
    peerDependencies: { "lcow-gcs-image-x64": version, "lcow-gcs-image-arm64": version },
    peerDependenciesMeta: {
      "lcow-gcs-image-x64": { optional: true },
      "lcow-gcs-image-arm64": { optional: true },
    },
  };
}
