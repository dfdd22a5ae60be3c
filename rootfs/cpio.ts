import type { Node, Tree } from "./tree.ts";

/**
 * A cpio archive in the "newc" form that the kernel unpacks as initramfs: 110 bytes of ASCII header, name, data,
 * each padded to 4 bytes (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).
 * All that could differ from build to build (inode numbers, times, owners) is fixed.
 *
 * @param timestamp seconds since 1970.
 */
export function cpioArchive(tree: Tree, timestamp: number): Buffer {
  const chunks: Buffer[] = [];
  let inode = 1;
  for (const [name, node] of tree.entries()) entry(chunks, name, node, inode++, timestamp);
  entry(chunks, "TRAILER!!!", undefined, 0, 0);
  return Buffer.concat(chunks);
}

const typeBits = { directory: 0o040000, file: 0o100000, symlink: 0o120000, character: 0o020000 };

function entry(
  chunks: Buffer[],
  name: string,
  node: Node | undefined,
  inode: number,
  timestamp: number,
): void {
  const data = node?.type === "file" ? node.bytes : Buffer.from(node?.type === "symlink" ? node.target : "");
  const mode = node === undefined ? 0 : typeBits[node.type] | (node.type === "symlink" ? 0o777 : node.mode);
  const device = node?.type === "character" ? [node.major, node.minor] : [0, 0];
  const nameBytes = Buffer.from(`${name}\0`);
  const fields = [inode, mode, 0, 0, node?.type === "directory" ? 2 : 1, timestamp, data.length, 0, 0];
  const header = [...fields, ...device, nameBytes.length, 0].map((field) =>
    field.toString(16).padStart(8, "0"),
  );
  const head = Buffer.concat([Buffer.from(`070701${header.join("")}`), nameBytes]);
  chunks.push(head, padding(head.length), data, padding(data.length));
}

function padding(length: number): Buffer {
  return Buffer.alloc((4 - (length % 4)) % 4);
}
