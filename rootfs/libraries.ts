import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { AgentError } from "../src/common/errors.ts";
import { isElf, readElf } from "./elf.ts";
import { followLinks, type Unpacked } from "./packages.ts";
import type { Tree } from "./tree.ts";

const libraryDirectories = (multiarch: string) =>
  ["lib", "usr/lib"].flatMap((base) => [`${base}/${multiarch}`, base]).concat("lib64", "usr/lib64");

/**
 * Adds to the tree each shared library that an ELF file in it needs, to the end of the chain, as the dynamic
 * loader would look for it: by name, in the directories that it searches without a cache.
 *
 * @throws AgentError NOT_SUPPORTED naming the library that no package brings and the file that needs it.
 */
export function addLibraries(tree: Tree, unpacked: readonly Unpacked[], multiarch: string): void {
  const index = new Map<string, { readonly directory: string; readonly file: string }>();
  for (const { directory } of unpacked) {
    for (const below of libraryDirectories(multiarch)) {
      const full = path.join(directory, below);
      if (!existsSync(full)) continue;
      for (const name of readdirSync(full))
        if (name.includes(".so")) index.set(name, { directory, file: path.join(full, name) });
    }
  }
  const queue: { file: string; bytes: Buffer }[] = [];
  for (const [file, node] of tree.entries())
    if (node.type === "file" && isElf(node.bytes)) queue.push({ file, bytes: node.bytes });
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    const { interpreter, needed } = readElf(next.bytes, next.file);
    const wanted = new Map(needed.map((name) => [name, `usr/lib/${multiarch}/${name}`]));
    if (interpreter) wanted.set(path.basename(interpreter), `usr${interpreter}`);
    for (const [name, where] of wanted) {
      // The loader itself is asked for by its path and, from libraries, by its name.
      if (
        tree.has(where) ||
        (name.startsWith("ld-linux") && !where.startsWith("usr/lib64/") && interpreter === undefined)
      )
        continue;
      const source = index.get(name);
      if (source === undefined) {
        throw new AgentError(
          "NOT_SUPPORTED",
          `no package brings ${name}, which ${next.file} needs; add its package to rootfs/image.ts`,
        );
      }
      const bytes = readFileSync(followLinks(source.directory, source.file));
      tree.file(where, bytes, "shared libraries", 0o755);
      queue.push({ file: where, bytes });
    }
  }
}
