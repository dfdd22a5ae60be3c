import { open, stat } from "node:fs/promises";
import { AgentError } from "../../errors.ts";
import type { QemuConfig } from "./config.ts";

/** Below this the kernel cannot even unpack a small initrd. MiB. */
const LEAST_MEMORY_MIB = 256;
/** "HdrS" at 0x202: the boot protocol of x86; Documentation/arch/x86/boot.rst in Linux. */
const BZ_IMAGE = { at: 0x202, bytes: Buffer.from("HdrS") };
/** An ELF file of 64 bits. Whether it has the entry that QEMU needs, QEMU says. */
const ELF = { at: 0, bytes: Buffer.from("\x7fELF\x02", "latin1") };
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
  const { cpus = 1 } = config;
  if (!Number.isInteger(cpus) || cpus < 1 || cpus > 255) throw invalid(`${cpus} CPUs; use 1 to 255`);
}

async function checkKernel(path: string): Promise<void> {
  await checkFile("kernel", path);
  await using file = await open(path);
  for (const { at, bytes } of [BZ_IMAGE, ELF]) {
    const found = Buffer.alloc(bytes.length);
    await file.read(found, 0, found.length, at);
    if (found.equals(bytes)) return;
  }
  throw invalid(
    `kernel ${path} is no x86 Linux kernel (bzImage or vmlinux); build the image anew or name another`,
  );
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
