import { open, stat } from "node:fs/promises";
import { AgentError } from "../../errors.ts";
import type { QemuConfig } from "./config.ts";

/** Below this the kernel cannot even unpack a small initrd. MiB. */
const LEAST_MEMORY_MIB = 256;
/** "HdrS" at 0x202: the boot protocol of x86; Documentation/arch/x86/boot.rst in Linux. */
const MAGIC = "HdrS";
const MAGIC_OFFSET = 0x202;
/** Unpacked, an initrd is about this many times as large, while the packed one is in memory too. */
const UNPACKED_RATIO = 3;

/** Finds what can be known to fail before QEMU starts. @throws AgentError INVALID_ARGUMENT */
export async function checkConfig(config: QemuConfig): Promise<void> {
  await checkKernel(config.kernel);
  const initrdBytes = config.initrd === undefined ? 0 : await checkFile("initrd", config.initrd);
  for (const disk of config.disks ?? [])
    await checkFile(`disk ${disk.controller ?? 0}:${disk.lun}`, disk.path);

  const memory = config.memoryMiB ?? 512;
  const least = Math.max(LEAST_MEMORY_MIB, Math.ceil((initrdBytes * (1 + UNPACKED_RATIO)) / 2 ** 20));
  if (!Number.isInteger(memory) || memory < least) {
    throw invalid(`${memory} MiB of memory are too little for this guest; give it at least ${least}`);
  }
  const cpus = config.cpus ?? 2;
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > 255) throw invalid(`${cpus} CPUs; use 1 to 255`);
}

async function checkKernel(path: string): Promise<void> {
  await checkFile("kernel", path);
  await using file = await open(path);
  const magic = Buffer.alloc(MAGIC.length);
  await file.read(magic, 0, magic.length, MAGIC_OFFSET);
  if (magic.toString("latin1") === MAGIC) return;
  throw invalid(`kernel ${path} is no x86 Linux kernel (bzImage); build the image anew or name another`);
}

/** @returns its size in bytes */
async function checkFile(what: string, path: string): Promise<number> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `${what} ${path} cannot be read; build the image or name another file`,
      {
        cause,
      },
    );
  });
  if (found.isDirectory()) throw invalid(`${what} ${path} is a directory`);
  if (found.isFile() && found.size === 0) throw invalid(`${what} ${path} is empty; build the image anew`);
  return found.size;
}

function invalid(message: string): AgentError {
  return new AgentError("INVALID_ARGUMENT", message);
}
