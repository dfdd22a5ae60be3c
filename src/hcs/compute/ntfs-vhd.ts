import { mkdtemp, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { AgentError } from "../../common/errors.ts";
import { runHelper } from "../../common/helper.ts";
import { ErrPlatformNotSupported } from "./error-codes.ts";
import { coded, makeHcsError } from "./errors.ts";

/** Formatting writes little, whatever the size; converting skips holes. */
const HELPER_DEADLINE_MS = 10 * 60_000;
const GIBIBYTE = 1024 ** 3;
const MEBIBYTE = 1024 ** 2;
const SECTOR = 512;
/** Where partitions begin since Windows Vista. */
const PARTITION_OFFSET = MEBIBYTE;
/** NTFS, in a table of the master boot record. */
const PARTITION_TYPE = 0x07;
const LARGEST_GB = 2048 - 1;

/**
 * Makes a VHDX disk image with one NTFS partition; needs mkntfs (package ntfs-3g) and qemu-img (qemu-utils).
 * @param path of the new file, which must not exist; its directory must
 * @param sizeGB of the disk, 1 to 2047 (GiB)
 * @throws HcsError ErrPlatformNotSupported naming the program that is missing; AgentError codes INVALID_ARGUMENT,
 *   HELPER_FAILED
 */
export async function createNtfsVhd(
  path: string,
  sizeGB: number,
  options: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  try {
    await create(path, sizeGB, options.signal);
  } catch (thrown) {
    throw makeHcsError("hcs::CreateNTFSVHD", thrown);
  }
}

async function create(path: string, sizeGB: number, signal: AbortSignal | undefined): Promise<void> {
  if (!Number.isInteger(sizeGB) || sizeGB < 1 || sizeGB > LARGEST_GB) {
    throw new AgentError("INVALID_ARGUMENT", `${sizeGB} is no size; give 1 to ${LARGEST_GB} GB`);
  }
  // In the target's own directory: its file system has room for it, and the rename is one step.
  const directory = await mkdtemp(join(dirname(path), `.${basename(path)}-`)).catch((cause: unknown) => {
    throw new AgentError("INVALID_ARGUMENT", `cannot make a disk in ${dirname(path)}`, { cause });
  });
  try {
    const [volume, disk, image] = ["volume", "disk", "image"].map((name) => join(directory, name));
    if (volume === undefined || disk === undefined || image === undefined) return;
    const size = sizeGB * GIBIBYTE;
    const volumeSize = size - 2 * PARTITION_OFFSET;
    await makeFile(volume, volumeSize);
    const start = String(PARTITION_OFFSET / SECTOR);
    const format = ["--force", "--fast", "--quiet", "--partition-start", start, "--heads", "255"];
    await helper("mkntfs", "ntfs-3g", [...format, "--sectors-per-track", "63", volume], signal);
    await makeFile(disk, size, partitionTable(volumeSize));
    const copy = [`if=${volume}`, `of=${disk}`, "bs=1M", "seek=1", "conv=notrunc,sparse", "status=none"];
    await helper("dd", "coreutils", copy, signal);
    await helper("qemu-img", "qemu-utils", ["convert", "-f", "raw", "-O", "vhdx", disk, image], signal);
    await moveNew(image, path);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function makeFile(path: string, size: number, head?: Buffer): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.truncate(size);
    if (head !== undefined) await file.write(head, 0, head.length, 0);
  } finally {
    await file.close();
  }
}

/** A master boot record with one partition, addressed by logical blocks. */
function partitionTable(volumeSize: number): Buffer {
  const record = Buffer.alloc(SECTOR);
  const entry = 446;
  record.writeUInt8(PARTITION_TYPE, entry + 4);
  // Cylinders, heads and sectors beyond what those fields hold: so says 0xfeffff.
  record.fill(Buffer.from([0xfe, 0xff, 0xff]), entry + 1, entry + 4);
  record.fill(Buffer.from([0xfe, 0xff, 0xff]), entry + 5, entry + 8);
  record.writeUInt32LE(PARTITION_OFFSET / SECTOR, entry + 8);
  record.writeUInt32LE(volumeSize / SECTOR, entry + 12);
  record.writeUInt16BE(0x55aa, 510);
  return record;
}

async function helper(
  program: string,
  debianPackage: string,
  parameters: readonly string[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const { PATH = "" } = process.env;
  // Administrators' programs are not on everybody's PATH.
  try {
    await runHelper(program, parameters, {
      deadlineMs: HELPER_DEADLINE_MS,
      addedEnv: { PATH: `${PATH}:/usr/sbin:/sbin` },
      signal,
    });
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== "SPAWN_FAILED") throw error;
    throw coded(ErrPlatformNotSupported, `${program} is missing; install the package ${debianPackage}`);
  }
}

async function moveNew(from: string, to: string): Promise<void> {
  // Taken first, so that an existing file is not replaced.
  await (
    await open(to, "wx", 0o600).catch((cause: unknown) => {
      throw new AgentError("INVALID_ARGUMENT", `${to} exists already`, { cause });
    })
  ).close();
  await rename(from, to);
}
