/** A line of /proc/PID/mountinfo, proc_pid_mountinfo(5). */
export interface MountEntry {
  readonly id: string;
  /** Of the file system: "8:1". */
  readonly device: string;
  /** What of the file system is mounted. */
  readonly root: string;
  readonly mountPoint: string;
  readonly type: string;
}

/** In the order of the file: of several mounts on one place the last one shows. */
export function parseMountinfo(text: string): MountEntry[] {
  return text
    .trimEnd()
    .split("\n")
    .flatMap((line) => {
      const [id, , device, root, mountPoint] = line.split(" ");
      if (id === undefined || device === undefined || root === undefined || mountPoint === undefined)
        return [];
      const type = line.split(" - ")[1]?.split(" ")[0] ?? "";
      return [{ id, device, root: unescaped(root), mountPoint: unescaped(mountPoint), type }];
    });
}

/** Blanks and such stand as octal: \040. */
export function unescaped(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
