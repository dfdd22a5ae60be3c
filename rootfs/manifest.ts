import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Unpacked } from "./packages.ts";
import type { Tree } from "./tree.ts";

export const outputs = ["kernel", "vmlinux", "initrd.img", "boot.img", "rootfs.ext4"] as const;

export interface PartSize {
  readonly part: string;
  /** Bytes, unpacked. */
  readonly size: number;
  /** Bytes, compressed by itself and quickly: the image packs a little better. */
  readonly packed: number;
}

export interface Manifest {
  readonly key: string;
  readonly kernelRelease: string;
  readonly sizes: Record<string, number>;
  /** Where the size comes from. */
  readonly parts: readonly PartSize[];
  /** Debian packages with their versions, for those who must know what is in an image. */
  readonly packages: Record<string, string>;
  /** Those of runc and crun, with the libraries that they alone use. */
  readonly runtimes: { readonly suite: string; readonly packages: Record<string, string> };
}

/** One hash over everything that goes in: a build with the same key would write the same bytes. */
export function inputKey(
  trees: readonly Tree[],
  files: readonly string[],
  settings: readonly string[],
): string {
  const hash = createHash("sha256");
  for (const tree of trees) {
    for (const [where, node] of tree.entries()) {
      const { bytes, ...rest } = node.type === "file" ? node : { ...node, bytes: Buffer.alloc(0) };
      hash.update(JSON.stringify([where, rest, bytes.length])).update(bytes);
    }
  }
  for (const file of files) hash.update(readFileSync(file));
  for (const setting of settings) hash.update(`${setting}\0`);
  return hash.digest("hex");
}

export function upToDate(out: string, key: string): boolean {
  const file = path.join(out, "image.json");
  if (!existsSync(file)) return false;
  const manifest = JSON.parse(readFileSync(file, "utf8")) as Manifest;
  return manifest.key === key && outputs.every((name) => sizeOf(out, name) === manifest.sizes[name]);
}

export function writeManifest(
  out: string,
  key: string,
  facts: {
    kernelRelease: string;
    packages: readonly Unpacked[];
    runtimes: { suite: string; packages: readonly Unpacked[] };
    parts: readonly PartSize[];
  },
): void {
  const manifest: Manifest = {
    key,
    kernelRelease: facts.kernelRelease,
    sizes: Object.fromEntries(outputs.map((name) => [name, sizeOf(out, name) ?? 0])),
    parts: facts.parts,
    packages: versionsOf(facts.packages),
    runtimes: { suite: facts.runtimes.suite, packages: versionsOf(facts.runtimes.packages) },
  };
  writeFileSync(path.join(out, "image.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

function versionsOf(packages: readonly Unpacked[]): Record<string, string> {
  return Object.fromEntries(packages.map(({ name, version }) => [name, version]));
}

function sizeOf(out: string, name: string): number | undefined {
  return statSync(path.join(out, name), { throwIfNoEntry: false })?.size;
}
