import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

/** What a tree is: names, types, modes, owners, times, targets and contents. Access times change by reading. */
export function treeDigest(directory: string): string {
  const hash = createHash("sha256");
  const visit = (path: string): void => {
    const { mode, uid, gid, size, mtimeMs, ctimeMs, nlink } = lstatSync(path);
    const status = lstatSync(path);
    hash.update(`${path} ${[mode, uid, gid, size, mtimeMs, ctimeMs, nlink].join(" ")}\n`);
    if (status.isSymbolicLink()) hash.update(readlinkSync(path));
    if (status.isFile()) hash.update(readFileSync(path));
    if (status.isDirectory()) for (const name of readdirSync(path).sort()) visit(join(path, name));
  };
  visit(directory);
  return hash.digest("hex");
}
