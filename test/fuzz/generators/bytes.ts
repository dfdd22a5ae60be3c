import fc from "fast-check";

/** Bytes as text of JSON: hexadecimal. */
export function hex(options: { maxLength: number }): fc.Arbitrary<string> {
  return fc.uint8Array(options).map((bytes) => Buffer.from(bytes).toString("hex"));
}

export const bytesOf = (text: string): Buffer => Buffer.from(text, "hex");

/** Where a stream of bytes is cut: lengths of its first chunks. */
export const cuts: fc.Arbitrary<number[]> = fc.array(
  fc.oneof({ weight: 3, arbitrary: fc.nat(24) }, { weight: 1, arbitrary: fc.nat(5000) }),
  {
    maxLength: 24,
  },
);

export function cut(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (const length of lengths) {
    if (at + length >= bytes.length) break;
    chunks.push(bytes.subarray(at, at + length));
    at += length;
  }
  return [...chunks, bytes.subarray(at)];
}

/** Numbers at which something may change. */
export const edgeNumber: fc.Arbitrary<number> = fc.constantFrom(
  0,
  1,
  -1,
  127,
  128,
  255,
  256,
  4095,
  4096,
  0x7fff,
  0xffff,
  0x1_0000,
  0x7fff_ffff,
  0x8000_0000,
  0xffff_ffff,
  0x1_0000_0000,
  Number.MAX_SAFE_INTEGER,
  -0x8000_0000,
  -0x8000_0001,
  0.5,
  1e308,
);

/** Text that parsers and terminals trip over. */
export const edgeText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(
    "",
    " ",
    "\0",
    "/",
    "//",
    "..",
    "../../etc",
    "/proc/self/root",
    "-",
    "--",
    "0",
    "-1",
    "0x10",
    "1e3",
    "__proto__",
    "constructor",
    "toString",
    "\u001b[2J",
    "\ud800",
    "\u202e",
    "%s%n",
    "a,b",
    "a:b",
    "a=b",
    "'",
    '"',
    "\\",
    "\r\n",
    "{}",
    "[]",
    "null",
    "x".repeat(300),
  ),
  fc.string({ maxLength: 20, unit: "binary" }),
);
