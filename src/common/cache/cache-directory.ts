import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { makePrivate } from "./trusted-directory.ts";

export const REMEDY = "set XDG_CACHE_HOME to a directory of your own";

/** $XDG_CACHE_HOME/lcow-gcs, by default below ~/.cache; whether it is there or not. */
export function cacheHome(): string {
  const configured = process.env.XDG_CACHE_HOME;
  // A relative one is ignored, as the XDG base directory specification asks.
  const parent = configured !== undefined && isAbsolute(configured) ? configured : join(homedir(), ".cache");
  return join(parent, "lcow-gcs");
}

/**
 * Where things are kept that can be made again: the only place that says so. What is there is this user's alone, or
 * an error: it is used without looking, by root too, and some of it tells what is in files that others must not read.
 * @throws AgentError INVALID_ARGUMENT, SYSTEM_CALL_FAILED
 */
export async function cacheDirectory(name: string): Promise<string> {
  const home = cacheHome();
  makePrivate(home, REMEDY);
  const directory = join(home, name);
  makePrivate(directory, REMEDY);
  return directory;
}
