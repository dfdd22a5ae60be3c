import { access, constants, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { AgentError } from "../../../common/errors.ts";
import { LEAST_MEMORY_MIB, machineCapacity } from "./capacity.ts";
import { DEFAULT_MEMORY_MIB, type Disk, MAXIMUM_CPUS, type QemuConfig } from "./config.ts";
import { checkKernelFile } from "./kernel-file.ts";

/** Unpacked, an initrd is about this many times as large, while the packed one is in memory too. */
const UNPACKED_RATIO = 3;

/**
 * Finds what can be known to fail before QEMU starts.
 * @throws AgentError INVALID_ARGUMENT
 */
export async function checkConfig(config: QemuConfig, capacity = machineCapacity()): Promise<void> {
  await checkKernelFile(config.kernel, await checkFile("kernel", config.kernel));
  const initrdBytes = config.initrd === undefined ? 0 : await checkFile("initrd", config.initrd);
  for (const disk of config.disks ?? []) await checkDiskFile(disk);
  if (config.consoleFile !== undefined) await checkConsoleFile(config.consoleFile);

  const memory = config.memoryMiB ?? DEFAULT_MEMORY_MIB;
  const least = Math.max(LEAST_MEMORY_MIB, Math.ceil((initrdBytes * (1 + UNPACKED_RATIO)) / 2 ** 20));
  if (!Number.isInteger(memory) || memory < least) {
    throw invalid(`${memory} MiB of memory are too little for this guest; give it at least ${least}`);
  }
  if (memory > capacity.memoryMiB) {
    throw invalid(`${memory} MiB of memory are more than this machine has: ${capacity.memoryMiB} MiB`);
  }
  const { cpus = 1 } = config;
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > MAXIMUM_CPUS) {
    throw invalid(`${cpus} CPUs; use 1 to ${MAXIMUM_CPUS}`);
  }
  // Several of the guest's on one of ours wait for each other: what boots at all takes minutes.
  if (cpus > capacity.cpus) throw invalid(`${cpus} CPUs are more than this machine has: ${capacity.cpus}`);
}

/** A qcow2 whose data is in another file, which its header names; docs/interop/qcow2.txt in QEMU's sources. */
const QCOW2 = { magic: 0x514649fb, version: 4, features: 72, externalData: 1n << 2n, bytes: 80 };

/** @throws AgentError INVALID_ARGUMENT */
export async function checkDiskFile({ controller = 0, lun, path, format }: Disk): Promise<void> {
  const what = `disk ${controller}:${lun}`;
  await checkFile(what, path, { deviceAllowed: true });
  if (format !== "qcow2") return;
  await using file = await open(path);
  const header = Buffer.alloc(QCOW2.bytes);
  await file.read(header, 0, header.length, 0);
  if (header.readUInt32BE(0) !== QCOW2.magic) throw invalid(`${what} ${path} is no qcow2 file`);
  const hasFeatures = header.readUInt32BE(QCOW2.version) >= 3;
  if (hasFeatures && (header.readBigUInt64BE(QCOW2.features) & QCOW2.externalData) !== 0n)
    throw invalid(`${what} ${path} keeps its data in another file, which is not opened; convert it`);
}

/** @returns its size in bytes */
async function checkFile(
  what: string,
  path: string,
  { deviceAllowed = false }: { deviceAllowed?: boolean } = {},
): Promise<number> {
  const cannotRead = (cause: unknown) => {
    const remedy = "build the image or name another file";
    throw new AgentError("INVALID_ARGUMENT", `${what} ${path} cannot be read; ${remedy}`, { cause });
  };
  const found = await stat(path).catch(cannotRead);
  if (found.isDirectory()) throw invalid(`${what} ${path} is a directory`);
  // To open a FIFO is to wait for who writes to it, and a character device has no end.
  if (!found.isFile() && !(deviceAllowed && found.isBlockDevice()))
    throw invalid(`${what} ${path} is no file`);
  if (found.isFile() && found.size === 0) throw invalid(`${what} ${path} is empty; build the image anew`);
  await access(path, constants.R_OK).catch(cannotRead);
  return found.size;
}

async function checkConsoleFile(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() === true) throw invalid(`console ${path} is a directory; name a file`);
  await access(found === undefined ? dirname(path) : path, constants.W_OK).catch((cause: unknown) => {
    throw new AgentError("INVALID_ARGUMENT", `console ${path} cannot be written`, { cause });
  });
}

function invalid(message: string): AgentError {
  return new AgentError("INVALID_ARGUMENT", message);
}
