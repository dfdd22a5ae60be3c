/** SCSI disks by the host's numbers of controller and unit. */

import { watch } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { withDeadline } from "../common/deadline.ts";
import { AgentError } from "../common/errors.ts";
import { runHelper } from "../common/helper.ts";
import { isSystemError } from "../common/system-error.ts";
import { readFilesystemType } from "./filesystem-type.ts";
import { checkPath, type Mounted, mount } from "./mount.ts";

export interface ScsiAddress {
  /** The host's number, from 0. */
  readonly controller: number;
  readonly lun: number;
}

export interface ScsiMountRequest extends ScsiAddress {
  /** From 1; 0 is the whole disk. */
  readonly partition: number;
  readonly target: string;
  readonly readonly: boolean;
  readonly options: readonly string[];
  /** The type to mount; that on the disk when empty. */
  readonly filesystem: string;
  /** Make the file system when the disk has another or none. */
  readonly ensureFilesystem: boolean;
}

const VMBUS_DEVICES = "/sys/bus/vmbus/devices";
const SCSI_HOSTS = "/sys/class/scsi_host";
const SCSI_DEVICES = "/sys/bus/scsi/devices";
/** Drivers of the controllers that hosts attach disks to: Hyper-V's, and QEMU's. */
const CONTROLLER_DRIVERS = ["storvsc", "virtio_scsi"];
/** How long a disk that the host has attached may take to appear, as in the reference agent. */
const DEVICE_DEADLINE_MS = 5000;

/** The VMBus instances that HCS gives its four controllers, in its order. Source: hcsshim internal/protocol/guestrequest. */
const HYPERV_CONTROLLERS = [
  "df6d0690-79e5-55b6-a5ec-c1e2f77f580a",
  "0110f83b-de10-5172-a266-78bca56bf50a",
  "b5d2d8d4-3a75-51bf-945b-3444dc6b8579",
  "305891a9-b251-5dfe-91a2-c25d9212275b",
];

async function list(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return [];
    throw error;
  }
}

/** The kernel numbers SCSI hosts as it finds them, which need not be the host's order. */
async function hostNumber(controller: number): Promise<number | undefined> {
  const instance = HYPERV_CONTROLLERS[controller];
  if (instance !== undefined) {
    const name = (await list(`${VMBUS_DEVICES}/${instance}`)).find((entry) => /^host\d+$/.test(entry));
    if (name !== undefined) return Number(name.slice("host".length));
  }
  const numbers: number[] = [];
  for (const name of await list(SCSI_HOSTS)) {
    const driver = (await readFile(`${SCSI_HOSTS}/${name}/proc_name`, "utf8")).trim().toLowerCase();
    if (CONTROLLER_DRIVERS.some((known) => driver.startsWith(known)))
      numbers.push(Number(name.slice("host".length)));
  }
  return numbers.sort((a, b) => a - b)[controller];
}

async function findDevice({ controller, lun }: ScsiAddress, partition: number): Promise<string | undefined> {
  const host = await hostNumber(controller);
  if (host === undefined) return undefined;
  const [disk] = await list(`${SCSI_DEVICES}/${host}:0:0:${lun}/block`);
  if (disk === undefined) return undefined;
  const name =
    partition === 0
      ? disk
      : (await list(`${SCSI_DEVICES}/${host}:0:0:${lun}/block/${disk}`)).find((entry) =>
          new RegExp(`^${disk}p?${partition}$`).test(entry),
        );
  return name !== undefined && (await list("/dev")).includes(name) ? `/dev/${name}` : undefined;
}

/**
 * The block device of a disk; waits until the kernel has found it.
 * @throws AgentError DEVICE_NOT_FOUND after 5 s.
 */
export async function scsiDevicePath(address: ScsiAddress, partition: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const look = () =>
    findDevice(address, partition).then((path) => {
      if (path !== undefined) resolve(path);
    }, reject);
  const where = `${address.controller}:${address.lun}${partition === 0 ? "" : ` partition ${partition}`}`;
  const late = () => new AgentError("DEVICE_NOT_FOUND", `no SCSI disk at ${where} appeared; is it attached?`);
  // The node in /dev is the last thing a new disk gets. Watch first, then look: nothing slips between.
  const watcher = watch("/dev", () => void look());
  try {
    void look();
    return await withDeadline(promise, `waiting for the SCSI disk at ${where}`, {
      timeoutMs: DEVICE_DEADLINE_MS,
      late,
    });
  } finally {
    watcher.close();
  }
}

/** @throws AgentError DEVICE_NOT_FOUND, INVALID_ARGUMENT, MOUNT_FAILED, HELPER_FAILED; then nothing is left behind. */
export async function mountScsi(request: ScsiMountRequest): Promise<Mounted> {
  checkPath(request.target, "MountPath");
  const device = await scsiDevicePath(request, request.partition);
  let type: string | undefined = await readFilesystemType(device);
  if (request.ensureFilesystem && type !== (request.filesystem || "ext4")) {
    type = await makeFilesystem(device, request.filesystem || "ext4");
  }
  if (request.filesystem !== "") type = request.filesystem;
  if (type === undefined) {
    throw new AgentError(
      "MOUNT_FAILED",
      `${device} holds no file system known here (ext4, erofs, squashfs, xfs)`,
    );
  }
  // A journal cannot be replayed on a disk that is not to be written.
  const readonly = request.readonly ? ["ro", ...(type === "ext4" ? ["noload"] : [])] : [];
  // Device nodes of an image mean nothing here, nor in a union with it as a layer: that one has its own.
  const options = [...readonly, "nodev", ...request.options.filter((option) => option !== "dev")];
  return mount({ source: device, target: request.target, type, options });
}

async function makeFilesystem(device: string, type: string): Promise<string> {
  if (type !== "ext4") {
    throw new AgentError("NOT_SUPPORTED", `cannot make a file system of type "${type}"; ext4 can be made`);
  }
  // No discard, no lazily written tables: a scratch disk is sparse and new.
  await runHelper(
    "mke2fs",
    ["-q", "-F", "-t", "ext4", "-E", "nodiscard,lazy_itable_init=1", "-O", "^metadata_csum", device],
    {
      deadlineMs: 60_000,
    },
  );
  return type;
}

/** Lets go of a disk before the host detaches it. One that is not there is no error. */
export async function unplugScsi(address: ScsiAddress): Promise<void> {
  const host = await hostNumber(address.controller);
  if (host === undefined) return;
  try {
    await writeFile(`${SCSI_DEVICES}/${host}:0:0:${address.lun}/delete`, "1\n");
  } catch (cause) {
    if (isSystemError(cause, "ENOENT")) return;
    throw new AgentError(
      "SYSTEM_CALL_FAILED",
      `cannot unplug the SCSI disk ${address.controller}:${address.lun}`,
      { cause },
    );
  }
}
