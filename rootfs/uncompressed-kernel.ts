import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { AgentError } from "../src/common/errors.ts";
import { run } from "./command.ts";

/** Offsets in a bzImage's header: Documentation/arch/x86/boot.rst of the kernel, "The Real-Mode Kernel Header". */
const SETUP_SECTORS = 0x1f1;
const MAGIC = { at: 0x202, text: "HdrS" };
const PROTOCOL_VERSION = 0x206;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
/** From this version of the boot protocol on the header tells where the payload is. */
const WITH_PAYLOAD = 0x0208;
const SECTOR_BYTES = 512;
/** The kernel's build puts the payload's unpacked size behind it, but for gzip, which ends with it by itself. */
const SIZE_BYTES = 4;

const unpackers: readonly { magic: string; unpack: (payload: Buffer) => Buffer | Promise<Buffer> }[] = [
  { magic: "02214c18", unpack: (payload) => unpackWith("lz4", withoutSize(payload)) },
  { magic: "fd377a585a00", unpack: (payload) => unpackWith("xz", withoutSize(payload)) },
  { magic: "28b52ffd", unpack: (payload) => zstdDecompressSync(withoutSize(payload)) },
  { magic: "1f8b08", unpack: (payload) => gunzipSync(payload) },
];

/**
 * The kernel as it is in memory: of a bzImage (x86) the ELF file in it, of a gzipped Image (arm64) the Image. A host
 * that starts it does not wait for the guest to unpack it, which takes an emulated one a while.
 *
 * @throws AgentError INVALID_DATA, for a kernel that is packed in an unknown way; SPAWN_FAILED, HELPER_FAILED
 */
export async function uncompressedKernel(kernel: Buffer): Promise<Buffer> {
  const isBzImage = kernel.toString("latin1", MAGIC.at, MAGIC.at + MAGIC.text.length) === MAGIC.text;
  if (!isBzImage) return startsWith(kernel, "1f8b08") ? gunzipSync(kernel) : kernel;
  if (kernel.readUInt16LE(PROTOCOL_VERSION) < WITH_PAYLOAD)
    throw new AgentError(
      "INVALID_DATA",
      "the kernel's boot protocol is older than 2.08; take a newer kernel",
    );
  const start = ((kernel[SETUP_SECTORS] ?? 0) + 1) * SECTOR_BYTES + kernel.readUInt32LE(PAYLOAD_OFFSET);
  const payload = kernel.subarray(start, start + kernel.readUInt32LE(PAYLOAD_LENGTH));
  const unpacker = unpackers.find(({ magic }) => startsWith(payload, magic));
  if (unpacker === undefined) {
    const found = payload.subarray(0, SIZE_BYTES).toString("hex");
    throw new AgentError(
      "INVALID_DATA",
      `the kernel is packed in an unknown way (${found}); add it to rootfs/uncompressed-kernel.ts`,
    );
  }
  const unpacked = await unpacker.unpack(payload);
  const bytes = payload.readUInt32LE(payload.length - SIZE_BYTES);
  if (unpacked.length === bytes) return unpacked;
  throw new AgentError(
    "INVALID_DATA",
    `the kernel unpacks to ${unpacked.length} bytes, its header says ${bytes}; download it anew: npm run image -- --refresh`,
  );
}

function startsWith(bytes: Buffer, hex: string): boolean {
  return bytes.toString("hex", 0, hex.length / 2) === hex;
}

function withoutSize(payload: Buffer): Buffer {
  return payload.subarray(0, -SIZE_BYTES);
}

function unpackWith(tool: string, input: Buffer): Promise<Buffer> {
  const debian = tool === "xz" ? "xz-utils" : tool;
  return run([tool, "-dc"], { input, remedy: `install the Debian package ${debian}` });
}
