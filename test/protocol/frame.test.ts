import fc from "fast-check";
import t from "tap";
import { AgentError } from "../../src/common/errors.ts";
import {
  encodeFrame,
  FrameDecoder,
  HEADER_SIZE,
  MAXIMUM_SIZE_FROM_HOST,
  MAXIMUM_SKIPPED_SIZE,
} from "../../src/protocol/frame.ts";

interface Whole {
  type: number;
  id: bigint;
  body: string;
}

/** Feeds chunks and then overwrites them, as a caller that reuses its buffer does. */
function decode(chunks: readonly Buffer[], maximumSize = MAXIMUM_SIZE_FROM_HOST) {
  const decoder = new FrameDecoder({ maximumSize });
  const frames: Whole[] = [];
  for (const chunk of chunks) {
    const reused = Buffer.from(chunk);
    decoder.push(reused, ({ type, id, body }) => frames.push({ type, id, body: body.toString("latin1") }));
    reused.fill(0xaa);
  }
  return { frames, pending: decoder.pending };
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let at = 0;
  for (const size of sizes) {
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return [...chunks, bytes.subarray(at)];
}

t.test("a frame is a little-endian header and the body", (t) => {
  const frame = encodeFrame(0x10100b01, 0x0102030405060708n, '{"é":1}');
  t.equal(frame.toString("hex"), "010b101018000000" + "0807060504030201" + "7b22c3a9223a317d");
  t.same(
    encodeFrame(0x10100b01, 0x0102030405060708n, Buffer.from('{"é":1}')),
    frame,
    "from bytes as from text",
  );
  t.equal(encodeFrame(0xffffffff, 2n ** 64n - 1n, "").toString("hex"), "ffffffff10000000ffffffffffffffff");
  t.end();
});

t.test("frames come out of any chunking as they went in", (t) => {
  const frame = fc.record({
    type: fc.nat(0xffffffff),
    id: fc.bigInt(0n, 2n ** 64n - 1n),
    body: fc.uint8Array({ maxLength: 80 }),
  });
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.nat(60)), (frames, sizes) => {
      const bytes = Buffer.concat(frames.map(({ type, id, body }) => encodeFrame(type, id, body)));
      const expected = frames.map(({ type, id, body }) => ({
        type,
        id,
        body: Buffer.from(body).toString("latin1"),
      }));
      const { frames: got, pending } = decode(cut(bytes, sizes));
      return pending === 0 && t.strictSame(got, expected);
    }),
    { numRuns: 300 },
  );
  t.end();
});

t.test("a stream cut short leaves the bytes of the unfinished frame pending", (t) => {
  const frame = encodeFrame(1, 1n, "0123456789");
  for (let length = 0; length < frame.length; length++) {
    t.equal(
      decode([frame, frame.subarray(0, length)]).pending,
      length,
      `${length} bytes of the second frame`,
    );
  }
  t.end();
});

t.test("any bytes at all give frames or INVALID_FRAME", (t) => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 8 }), (chunks) => {
      try {
        decode(chunks.map((chunk) => Buffer.from(chunk)));
        return true;
      } catch (error) {
        return error instanceof AgentError && error.code === "INVALID_FRAME";
      }
    }),
    { numRuns: 500 },
  );
  t.end();
});

t.test("a size out of bounds is refused from the header alone, whole or in pieces", (t) => {
  for (const size of [0, 1, HEADER_SIZE - 1, 1025, 0x7fffffff, 0x80000000, 0xffffffff]) {
    const header = Buffer.alloc(HEADER_SIZE);
    header.writeUInt32LE(size, 4);
    const expected = {
      code: "INVALID_FRAME",
      message: new RegExp(`^frame size ${size} is not between 16 and 1024`),
    };
    const pieces = Array.from(header, (byte) => Buffer.from([byte]));
    const external = process.memoryUsage().arrayBuffers;
    t.throws(() => decode([header], 1024), expected, `${size}`);
    t.throws(() => decode(pieces, 1024), expected, `${size}, byte by byte`);
    t.ok(process.memoryUsage().arrayBuffers - external < 2 ** 24, "no memory of that size was taken");
  }
  t.end();
});

t.test("sizes at the bounds are accepted", (t) => {
  t.same(decode([encodeFrame(7, 8n, "")]).frames, [{ type: 7, id: 8n, body: "" }]);
  t.equal(decode([encodeFrame(7, 8n, "x".repeat(1024 - HEADER_SIZE))], 1024).frames[0]?.body.length, 1008);
  t.throws(() => encodeFrame(1, 1n, "x".repeat(MAXIMUM_SIZE_FROM_HOST)), { code: "INVALID_FRAME" });
  t.end();
});

t.test(
  "a frame that is too large is told and passed over, however it is cut, and nothing of it is kept",
  (t) => {
    const large = Buffer.alloc(5000, 7);
    large.writeUInt32LE(1, 0);
    large.writeUInt32LE(large.length, 4);
    large.writeBigUInt64LE(2n, 8);
    const stream = Buffer.concat([encodeFrame(1, 1n, "a"), large, encodeFrame(1, 3n, "b"), large]);
    for (const step of [1, 7, HEADER_SIZE, 1000, stream.length]) {
      const seen: unknown[] = [];
      const decoder = new FrameDecoder({ maximumSize: 1024, onOversized: (frame) => seen.push(frame) });
      for (let at = 0; at < stream.length; at += step)
        decoder.push(stream.subarray(at, at + step), ({ id, body }) => seen.push([id, body.toString()]));
      const oversized = { type: 1, id: 2n, size: 5000 };
      t.same(seen, [[1n, "a"], oversized, [3n, "b"], oversized], `in steps of ${step}`);
      t.equal(decoder.pending, 0);
      decoder.push(large.subarray(0, 3000), () => t.fail("a frame of its bytes"));
      t.equal(decoder.pending, 2000, "cut short");
    }
    const header = Buffer.alloc(HEADER_SIZE);
    header.writeUInt32LE(MAXIMUM_SKIPPED_SIZE + 1, 4);
    const decoder = new FrameDecoder({ maximumSize: 1024, onOversized: () => t.fail("it is none") });
    t.throws(() => decoder.push(header, () => {}), { code: "INVALID_FRAME" });
    t.end();
  },
);

t.test("after a bad size the decoder reads nothing more", (t) => {
  const decoder = new FrameDecoder({ maximumSize: 1024 });
  const good = encodeFrame(1, 1n, "a");
  const seen: bigint[] = [];
  const push = (bytes: Buffer) => decoder.push(bytes, ({ id }) => seen.push(id));
  t.throws(() => push(Buffer.concat([good, Buffer.alloc(HEADER_SIZE), good])), { code: "INVALID_FRAME" });
  t.throws(() => push(good), { code: "INVALID_FRAME" });
  t.same(seen, [1n], "the frame before it was still handed on");
  t.end();
});

t.test("a frame that lies whole in a chunk is not copied", (t) => {
  const chunk = encodeFrame(1, 1n, "whole");
  new FrameDecoder({ maximumSize: 1024 }).push(chunk, ({ body }) => {
    t.equal(body.buffer, chunk.buffer);
    t.equal(body.toString(), "whole");
  });
  t.end();
});
