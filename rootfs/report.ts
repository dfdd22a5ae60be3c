import { statSync } from "node:fs";
import path from "node:path";
import { constants, zstdCompressSync } from "node:zlib";
import { outputs, type PartSize } from "./manifest.ts";
import type { Tree } from "./tree.ts";

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`.padStart(10);

/** The image's parts, the largest first. */
export function partSizes(tree: Tree): PartSize[] {
  const parts = new Map<string, Buffer[]>();
  for (const [, node] of tree.entries())
    if (node.type === "file") parts.set(node.part, [...(parts.get(node.part) ?? []), node.bytes]);
  const rows = [...parts].map(([part, chunks]) => {
    const bytes = Buffer.concat(chunks);
    const packed = zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 6 } });
    return { part, size: bytes.length, packed: packed.length };
  });
  return rows.sort((a, b) => b.size - a.size);
}

/** A table of the image's parts and of the files written. */
export function sizeReport(rows: readonly PartSize[], out: string): string {
  const lines = rows.map((row) => `  ${row.part.padEnd(24)}${megabytes(row.size)}${megabytes(row.packed)}`);
  const written = outputs.map(
    (name) => `  ${name.padEnd(24)}${megabytes(statSync(path.join(out, name)).size)}`,
  );
  return `  ${"part".padEnd(24)}${"unpacked".padStart(10)}${"packed".padStart(10)}\n${lines.join("\n")}\n${written.join("\n")}\n`;
}
