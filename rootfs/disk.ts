import { copyFileSync, renameSync, truncateSync, writeFileSync } from "node:fs";
import path from "node:path";
import { disk } from "./image.ts";
import type { Toolchain } from "./toolchain.ts";
import type { Tree } from "./tree.ts";

const block = 4096;
const typeBits = { directory: 0o040000, file: 0o100000, symlink: 0o120000, character: 0o020000 };

/**
 * Writes the tree as an ext4 file system without mounting it and without root's rights: debugfs puts the files
 * in one after the other, in the tree's order, so the same tree gives the same bytes.
 *
 * @param timestamp seconds since 1970, for every time in the file system.
 */
export async function writeDisk(
  tree: Tree,
  output: string,
  timestamp: number,
  toolchain: Toolchain,
): Promise<void> {
  const env = { E2FSPROGS_FAKE_TIME: String(timestamp), MKE2FS_CONFIG: "/dev/null" };
  await toolchain.inDirectory(async (work) => {
    const image = path.join(work, "rootfs.ext4");
    writeFileSync(image, "");
    truncateSync(image, imageSize(tree));
    const features =
      "^has_journal,^metadata_csum_seed,^orphan_file,^resize_inode,extent,huge_file,flex_bg,64bit,dir_index,metadata_csum";
    const extended = `hash_seed=${disk.hashSeed},lazy_itable_init=0,nodiscard,root_owner=0:0`;
    await toolchain.run(
      work,
      [
        ...["mke2fs", "-q", "-F", "-t", "ext4", "-b", String(block), "-I", "256", "-m", "0", "-O", features],
        ...["-L", disk.label, "-U", disk.uuid, "-E", extended],
        ...["-N", String([...tree.entries()].length + 256), "rootfs.ext4"],
      ],
      { env },
    );
    const input = debugfsScript(tree, work, timestamp);
    const told = await toolchain.run(work, ["debugfs", "-w", "-f", "-", "rootfs.ext4"], { env, input });
    if (/\bno (free|space)|not found|failed|error/i.test(told.toString().replace(/^debugfs: .*$/gm, ""))) {
      throw new Error(`debugfs: ${told.toString().slice(0, 2000)}`);
    }
    copyFileSync(image, `${output}.partial`);
    renameSync(`${output}.partial`, output);
  });
}

function imageSize(tree: Tree): number {
  let bytes = disk.slack;
  for (const [, node] of tree.entries())
    bytes += block + (node.type === "file" ? Math.ceil(node.bytes.length / block) * block : 0);
  return Math.ceil((bytes * 1.03) / (1024 * 1024)) * 1024 * 1024;
}

function debugfsScript(tree: Tree, staging: string, timestamp: number): string {
  const lines: string[] = [];
  const stamp = `@${timestamp}`;
  let number = 0;
  for (const [where, node] of tree.entries()) {
    const quoted = `"/${where}"`;
    if (node.type === "directory") lines.push(`mkdir ${quoted}`);
    if (node.type === "symlink") lines.push(`symlink ${quoted} "${node.target}"`);
    if (node.type === "character") {
      // debugfs makes device nodes in the current directory only.
      lines.push(
        `cd "/${path.posix.dirname(where)}"`,
        `mknod ${path.posix.basename(where)} c ${node.major} ${node.minor}`,
        "cd /",
      );
    }
    if (node.type === "file") {
      const source = `f${number++}`;
      writeFileSync(path.join(staging, source), node.bytes);
      lines.push(`write ${source} ${quoted}`);
    }
    const mode = typeBits[node.type] | (node.type === "symlink" ? 0o777 : node.mode);
    const fields = {
      mode: `0${mode.toString(8)}`,
      uid: 0,
      gid: 0,
      atime: stamp,
      mtime: stamp,
      ctime: stamp,
      crtime: stamp,
    };
    for (const [field, value] of Object.entries(fields))
      lines.push(`set_inode_field ${quoted} ${field} ${value}`);
  }
  return `${lines.join("\n")}\n`;
}
