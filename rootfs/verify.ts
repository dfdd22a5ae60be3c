/** Whether what is kept of a download is what was downloaded: a disk may fail, and others may have written there. */
import { createHash } from "node:crypto";
import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import path from "node:path";

/** As apt names them. Others it knows prove nothing. */
const algorithms: Readonly<Record<string, string>> = { SHA256: "sha256", SHA512: "sha512" };

/** @param recorded "SHA256:0123..." @returns false also where the file is missing, is a link, or nothing is recorded */
export function isRecorded(file: string, recorded: string | undefined): boolean {
  const [, name = "", hash] = /^(\w+):([\da-f]+)$/.exec(recorded ?? "") ?? [];
  const algorithm = algorithms[name];
  if (algorithm === undefined || lstatSync(file, { throwIfNoEntry: false })?.isFile() !== true) return false;
  return createHash(algorithm).update(readFileSync(file)).digest("hex") === hash;
}

/** SHA-256 over names, types, modes, targets and contents of all that is in a directory. */
export function treeHash(directory: string): string {
  const hash = createHash("sha256");
  const visit = (at: string): void => {
    const status = lstatSync(at);
    hash.update(
      JSON.stringify([path.relative(directory, at), status.mode, status.isFile() ? status.size : 0]),
    );
    if (status.isSymbolicLink()) hash.update(JSON.stringify(readlinkSync(at)));
    if (status.isFile()) hash.update(readFileSync(at));
    if (status.isDirectory()) for (const name of readdirSync(at).sort()) visit(path.join(at, name));
  };
  visit(directory);
  return hash.digest("hex");
}
