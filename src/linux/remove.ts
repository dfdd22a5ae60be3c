import { readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { isSystemError } from "../common/system-error.ts";

/** Removes a file; one that is not there is no error. rmSync would take half a millisecond. */
export function removeFile(path: string): void {
  ignoreMissing(() => unlinkSync(path));
}

/**
 * Removes a directory that holds files only, with them; one that is not there is no error. It descends into
 * nothing, so neither a mount nor a link can lead it astray.
 */
export function removeFlatDirectory(path: string): void {
  ignoreMissing(() => {
    for (const name of readdirSync(path)) removeFile(`${path}/${name}`);
    rmdirSync(path);
  });
}

function ignoreMissing(remove: () => void): void {
  try {
    remove();
  } catch (error) {
    if (!isSystemError(error, "ENOENT")) throw error;
  }
}
