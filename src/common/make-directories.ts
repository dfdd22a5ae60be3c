import { existsSync, mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { isSystemError } from "./system-error.ts";

/**
 * Makes a directory with its parents, where they are not there yet. Node's own `recursive` never returns for a
 * directory in which none can be made and the kernel says ENOENT, as below /proc.
 * @throws the system's error: EEXIST where something else is there
 */
export function makeDirectories(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (cause) {
    if (isDirectory(path)) return;
    const parent = dirname(path);
    if (!isSystemError(cause, "ENOENT") || existsSync(parent)) throw cause;
    makeDirectories(parent, mode);
    makeDirectories(path, mode);
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    // It could not be made: that is the error to tell.
    return false;
  }
}
