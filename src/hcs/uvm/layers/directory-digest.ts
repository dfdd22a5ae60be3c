import { createHash } from "node:crypto";
import type { BigIntStats } from "node:fs";
import { lstat, opendir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { AgentError } from "../../../common/errors.ts";

/** What a directory's tree looks like without its files' contents. */
export interface DirectoryDigest {
  /** SHA-256, hexadecimal. */
  readonly sha256: string;
  /** Directories, files, links, devices: everything with an inode. */
  readonly entries: number;
  /** Bytes of all files, each rounded up to blocks of 4 KiB. */
  readonly bytes: number;
}

const BLOCK = 4096;

/**
 * Hashes names, types, modes, owners, sizes, times of change and link targets. Contents are not read: writing a
 * file changes its ctime, which nobody can set back.
 * @throws AgentError INVALID_ARGUMENT when `directory` is none; SYSTEM_CALL_FAILED naming what cannot be read
 */
export async function digestDirectory(directory: string): Promise<DirectoryDigest> {
  const top = await lstat(directory).catch((cause: unknown) => {
    throw new AgentError("INVALID_ARGUMENT", `layer directory ${directory} cannot be read`, { cause });
  });
  if (!top.isDirectory()) throw new AgentError("INVALID_ARGUMENT", `layer ${directory} is no directory`);
  const hash = createHash("sha256");
  let entries = 0;
  let bytes = 0;
  const visit = async (path: string, name: string): Promise<void> => {
    const status = await lstat(path, { bigint: true });
    entries++;
    if (status.isFile()) bytes += Number((status.size + BigInt(BLOCK - 1)) / BigInt(BLOCK)) * BLOCK;
    hash.update(await describe(path, name, status));
    if (!status.isDirectory()) return;
    bytes += BLOCK * (1 + Math.floor(Number(status.size) / BLOCK));
    for (const child of await sortedNames(path)) await visit(join(path, child), `${name}/${child}`);
  };
  try {
    await visit(directory, "");
  } catch (cause) {
    throw new AgentError("SYSTEM_CALL_FAILED", `cannot read the layer ${directory} whole`, { cause });
  }
  return { sha256: hash.digest("hex"), entries, bytes };
}

async function describe(path: string, name: string, status: BigIntStats): Promise<string> {
  const { mode, uid, gid, size, rdev, mtimeNs, ctimeNs, ino } = status;
  const target = status.isSymbolicLink() ? await readlink(path) : "";
  return `${JSON.stringify([name, target])} ${[mode, uid, gid, size, rdev, mtimeNs, ctimeNs, ino].join(" ")}\n`;
}

async function sortedNames(path: string): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of await opendir(path)) names.push(entry.name);
  return names.sort();
}
