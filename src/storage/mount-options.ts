import { mountFlags } from "../linux/libc.ts";

/** Options of fstab(5) that are flags of mount(2); all others are the file system's own. */
const settingFlags: Readonly<Record<string, number>> = {
  ro: mountFlags.readOnly,
  nosuid: mountFlags.noSuid,
  nodev: mountFlags.noDev,
  noexec: mountFlags.noExec,
  sync: mountFlags.synchronous,
  noatime: mountFlags.noAtime,
  relatime: mountFlags.relatime,
  bind: mountFlags.bind,
  rbind: mountFlags.bind | mountFlags.recursive,
};
const clearingFlags: Readonly<Record<string, number>> = {
  rw: mountFlags.readOnly,
  suid: mountFlags.noSuid,
  dev: mountFlags.noDev,
  exec: mountFlags.noExec,
  async: mountFlags.synchronous,
  atime: mountFlags.noAtime,
};
const propagationFlags: Readonly<Record<string, number>> = {
  private: mountFlags.private,
  rprivate: mountFlags.private | mountFlags.recursive,
  slave: mountFlags.slave,
  rslave: mountFlags.slave | mountFlags.recursive,
  shared: mountFlags.shared,
  rshared: mountFlags.shared | mountFlags.recursive,
};

export interface MountOptions {
  readonly flags: number;
  /** Propagation is set by mounts of their own, one after another, once the mount is there. */
  readonly propagation: readonly number[];
  /** What is left, for the file system: "size=64k,mode=755". */
  readonly data: string;
}

export function parseMountOptions(options: readonly string[]): MountOptions {
  let flags = 0;
  const propagation: number[] = [];
  const data: string[] = [];
  for (const option of options) {
    const [setting, clearing, change] = [
      settingFlags[option],
      clearingFlags[option],
      propagationFlags[option],
    ];
    if (setting !== undefined) flags |= setting;
    else if (clearing !== undefined) flags &= ~clearing;
    else if (change !== undefined) propagation.push(change);
    else if (option !== "" && option !== "defaults") data.push(option);
  }
  return { flags, propagation, data: data.join(",") };
}
