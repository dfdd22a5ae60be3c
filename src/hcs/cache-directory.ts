import { mkdir } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/**
 * Where things are kept that can be made again: `$XDG_CACHE_HOME/lcow-gcs/NAME`, by default below ~/.cache.
 * Relative values are ignored, as the XDG base directory specification asks.
 */
export async function cacheDirectory(name: string): Promise<string> {
  const configured = process.env.XDG_CACHE_HOME;
  const parent = configured !== undefined && isAbsolute(configured) ? configured : join(homedir(), ".cache");
  const directory = join(parent, "lcow-gcs", name);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  return directory;
}
