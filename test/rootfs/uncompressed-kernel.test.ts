import { execFileSync } from "node:child_process";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { test } from "tap";
import { uncompressedKernel } from "../../rootfs/uncompressed-kernel.ts";

const kernel = Buffer.concat([Buffer.from("\x7fELF"), Buffer.alloc(100_000, "kernel")]);

/** A bzImage as far as its header tells where the payload is. */
function bzImage(payload: Buffer, version = 0x020f): Buffer {
  const setup = Buffer.alloc(2 * 512);
  setup[0x1f1] = 1;
  setup.write("HdrS", 0x202);
  setup.writeUInt16LE(version, 0x206);
  setup.writeUInt32LE(64, 0x248);
  setup.writeUInt32LE(payload.length, 0x24c);
  return Buffer.concat([setup, Buffer.alloc(64), payload, Buffer.alloc(1000, 0xcc)]);
}

function withSize(packed: Buffer, bytes = kernel.length): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(bytes);
  return Buffer.concat([packed, size]);
}

const lz4 = execFileSync("lz4", ["-l", "-c", "-q"], { input: kernel });

test("each way in which a kernel is packed", async (t) => {
  const payloads = {
    lz4: withSize(lz4),
    xz: withSize(execFileSync("xz", ["--check=crc32", "-c"], { input: kernel })),
    zstd: withSize(zstdCompressSync(kernel)),
    gzip: gzipSync(kernel),
  };
  for (const [name, payload] of Object.entries(payloads))
    t.ok((await uncompressedKernel(bzImage(payload))).equals(kernel), name);
});

test("a kernel without an x86 header is itself, or gzipped", async (t) => {
  t.ok((await uncompressedKernel(kernel)).equals(kernel));
  t.ok((await uncompressedKernel(gzipSync(kernel))).equals(kernel));
});

test("what cannot be unpacked is told, with the remedy", async (t) => {
  const refused = (image: Buffer, message: RegExp) =>
    t.rejects(uncompressedKernel(image), { code: "INVALID_DATA", message });
  await refused(bzImage(Buffer.from("BZh9unknown")), /packed in an unknown way \(425a6839\)/);
  await refused(bzImage(withSize(lz4, 5)), /its header says 5; download it anew/);
  await refused(bzImage(withSize(lz4), 0x0207), /older than 2\.08/);
  await t.rejects(uncompressedKernel(bzImage(withSize(lz4.subarray(0, 40)))), { code: "HELPER_FAILED" });
});
