import { readFile } from "node:fs/promises";
import { unmount, unmountFlags } from "../linux/libc.ts";
import { parseMountinfo } from "../linux/mountinfo.ts";

/**
 * Takes every mount below a directory out of sight, innermost first, whether it is used or not: for the end of what
 * the directory belongs to.
 * @returns why some are still there
 */
export async function detachBelow(directory: string): Promise<unknown[]> {
  const failures: unknown[] = [];
  for (const path of mountPoints(await readFile("/proc/self/mountinfo", "utf8"), directory)) {
    await unmount(path, unmountFlags.detach | unmountFlags.noFollow).catch((error: unknown) =>
      failures.push(error),
    );
  }
  return failures;
}

/** The latest mount comes first. */
function mountPoints(mountinfo: string, directory: string): string[] {
  return parseMountinfo(mountinfo)
    .map(({ mountPoint }) => mountPoint)
    .filter((path) => path.startsWith(`${directory}/`))
    .reverse();
}
