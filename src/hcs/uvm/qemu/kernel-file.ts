import { type FileHandle, open } from "node:fs/promises";
import { AgentError } from "../../../common/errors.ts";

/** As much of a file as its headers need. */
const HEAD_BYTES = 4096;
const ELF_MAGIC = Buffer.from("\x7fELF\x02", "latin1");
/** elf(5): Elf64_Ehdr and Elf64_Phdr. */
const ELF = {
  machine: 18,
  x86: 62,
  programOffset: 32,
  programSize: 54,
  programCount: 56,
  offset: 8,
  bytes: 32,
};
/** The boot protocol of x86; Documentation/arch/x86/boot.rst in Linux: "HdrS", and what the file is made of. */
const BZ_IMAGE = { magic: 0x202, setupSectors: 0x1f1, paragraphs: 0x1f4 };

/**
 * A file that QEMU can start as a kernel, and all of it: of one that was cut short only the guest's silence would tell.
 * @throws AgentError INVALID_ARGUMENT
 */
export async function checkKernelFile(path: string, size: number): Promise<void> {
  await using file = await open(path);
  const head = Buffer.alloc(HEAD_BYTES);
  await file.read(head, 0, HEAD_BYTES, 0);
  const needed = head.subarray(0, ELF_MAGIC.length).equals(ELF_MAGIC)
    ? await elfBytes(file, head)
    : bzImageBytes(head);
  if (needed === undefined) {
    throw invalid(
      `kernel ${path} is no x86 Linux kernel (bzImage or vmlinux); build the image anew or name another`,
    );
  }
  if (size < needed) {
    throw invalid(
      `kernel ${path} is cut short: ${size} bytes of at least ${needed}; build the image anew or name another`,
    );
  }
}

function bzImageBytes(head: Buffer): number | undefined {
  if (head.toString("latin1", BZ_IMAGE.magic, BZ_IMAGE.magic + 4) !== "HdrS") return undefined;
  // 0 means 4, for old times' sake; the boot sector comes on top.
  const sectors = (head.readUInt8(BZ_IMAGE.setupSectors) || 4) + 1;
  return sectors * 512 + head.readUInt32LE(BZ_IMAGE.paragraphs) * 16;
}

/** Where the last of the file's segments ends. Whether it has the entry that QEMU needs, QEMU says. */
async function elfBytes(file: FileHandle, head: Buffer): Promise<number | undefined> {
  if (head.readUInt16LE(ELF.machine) !== ELF.x86) return undefined;
  const [size, count] = [head.readUInt16LE(ELF.programSize), head.readUInt16LE(ELF.programCount)];
  const table = Buffer.alloc(size * count);
  const offset = Number(head.readBigUInt64LE(ELF.programOffset));
  if (size < ELF.bytes + 8 || count === 0 || !Number.isSafeInteger(offset)) return undefined;
  await file.read(table, 0, table.length, offset);
  const ends = Array.from({ length: count }, (_, index) => {
    const at = index * size;
    return table.readBigUInt64LE(at + ELF.offset) + table.readBigUInt64LE(at + ELF.bytes);
  });
  return Math.max(offset + table.length, ...ends.map(Number));
}

function invalid(message: string): AgentError {
  return new AgentError("INVALID_ARGUMENT", message);
}
