import { readFile } from "node:fs/promises";
import { unmount, unmountFlags } from "../linux/libc.ts";

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

/** Field 5 of each line, with blanks escaped as octal: proc_pid_mountinfo(5). The latest mount comes first. */
function mountPoints(mountinfo: string, directory: string): string[] {
  return mountinfo
    .trimEnd()
    .split("\n")
    .map((line) =>
      (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_, digits) =>
        String.fromCharCode(Number.parseInt(digits, 8)),
      ),
    )
    .filter((path) => path.startsWith(`${directory}/`))
    .reverse();
}
