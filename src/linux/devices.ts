import { lstatSync, readdirSync, readlinkSync, type Stats } from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { AgentError } from "../common/errors.ts";
import { isSystemError } from "../common/system-error.ts";

export interface Device {
  /** Absolute. */
  readonly path: string;
  readonly type: "b" | "c";
  readonly major: number;
  readonly minor: number;
  readonly uid: number;
  readonly gid: number;
}

/** What is in /dev and no device that a container could want; Source: libcontainer/devices. */
const LEFT_OUT = new Set(["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"]);
/** /dev is flat; deeper is a mount of somebody. */
const DEEPEST = 8;

/** @throws AgentError INVALID_ARGUMENT when nothing is there, or no device. */
export function deviceAt(path: string): Device {
  const stats =
    isAbsolute(path) && !path.includes("\0") ? lstatSync(path, { throwIfNoEntry: false }) : undefined;
  const device = stats && deviceOf(path, stats);
  if (device !== undefined) return device;
  const is = stats === undefined ? "is not there" : "is no device";
  throw new AgentError("INVALID_ARGUMENT", `device ${JSON.stringify(path)} ${is}`);
}

/** The device that a link leads to, or that is there itself. @throws AgentError as deviceAt() */
export function linkedDevice(path: string): Device {
  try {
    return deviceAt(resolve(path, "..", readlinkSync(path)));
  } catch (error) {
    if (isSystemError(error, "EINVAL", "ENOENT", "ENOTDIR")) return deviceAt(path);
    throw error;
  }
}

/** All of this machine. */
export function allDevices(directory = "/dev", depth = 0): Device[] {
  const devices: Device[] = [];
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    if (LEFT_OUT.has(entry.name)) continue;
    const path = `${directory}/${entry.name}`;
    if (entry.isDirectory() && depth < DEEPEST) devices.push(...allDevices(path, depth + 1));
    if (!entry.isBlockDevice() && !entry.isCharacterDevice()) continue;
    // It may be gone by now.
    const stats = lstatSync(path, { throwIfNoEntry: false });
    const device = stats && deviceOf(path, stats);
    if (device !== undefined) devices.push(device);
  }
  return devices;
}

function deviceOf(path: string, stats: Stats): Device | undefined {
  const type = stats.isBlockDevice() ? "b" : stats.isCharacterDevice() ? "c" : undefined;
  if (type === undefined) return undefined;
  return { path, type, ...numbersOf(stats.rdev), uid: stats.uid, gid: stats.gid };
}

/** gnu_dev_major() and gnu_dev_minor() of glibc, for numbers of 32 bits as Linux has them. */
function numbersOf(rdev: number): { major: number; minor: number } {
  return { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) };
}
