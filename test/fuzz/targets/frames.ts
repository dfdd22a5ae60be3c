import fc from "fast-check";
import { AgentError } from "../../../src/common/errors.ts";
import {
  encodeFrame,
  FrameDecoder,
  HEADER_SIZE,
  MAXIMUM_SKIPPED_SIZE,
  type OversizedFrame,
} from "../../../src/protocol/frame.ts";
import { bytesOf, cut, cuts, hex } from "../generators/bytes.ts";
import { hold, property } from "../target.ts";

interface Part {
  readonly type: number;
  readonly id: string;
  readonly body: string;
  /** What the header says instead of the size. */
  readonly size?: number;
}

interface Input {
  readonly parts: readonly (Part | string)[];
  readonly cuts: readonly number[];
  readonly maximumSize: number;
  readonly skips: boolean;
}

const size = fc.oneof(
  fc.nat(2000),
  fc.constantFrom(0, 15, 16, 17, MAXIMUM_SKIPPED_SIZE, MAXIMUM_SKIPPED_SIZE + 1, 0x7fff_ffff, 0xffff_ffff),
);

const part = fc.record(
  {
    type: fc.oneof(fc.constantFrom(0x10100101, 0x20100101, 0x30100101), fc.nat(0xffff_ffff)),
    id: fc.oneof(fc.nat(10).map(String), fc.bigInt(0n, 2n ** 64n - 1n).map(String)),
    body: hex({ maxLength: 200 }),
    size,
  },
  { requiredKeys: ["type", "id", "body"] },
);

const inputs: fc.Arbitrary<Input> = fc.record({
  parts: fc.array(
    fc.oneof({ weight: 6, arbitrary: part }, { weight: 1, arbitrary: hex({ maxLength: 40 }) }),
    { maxLength: 8 },
  ),
  cuts,
  maximumSize: fc.constantFrom(16, 64, 100, 1024),
  skips: fc.boolean(),
});

function encode(part: Part | string): Buffer {
  if (typeof part === "string") return bytesOf(part);
  const frame = encodeFrame(part.type, BigInt(part.id), bytesOf(part.body));
  if (part.size !== undefined) frame.writeUInt32LE(part.size, 4);
  return frame;
}

interface Read {
  readonly seen: string[];
  /** Bytes of the stream that were not taken for a frame yet, or -1: it ended with a header that is none. */
  readonly rest: number;
}

const show = (type: number, id: bigint, body: Buffer | number) =>
  `${type} ${id} ${typeof body === "number" ? `of ${body}` : body.toString("hex")}`;

/** What the format says, of the whole stream at once. */
function expected(stream: Buffer, { maximumSize, skips }: Input): Read {
  const seen: string[] = [];
  let at = 0;
  while (stream.length - at >= HEADER_SIZE) {
    const size = stream.readUInt32LE(at + 4);
    if (size < HEADER_SIZE || size > (skips ? MAXIMUM_SKIPPED_SIZE : maximumSize)) return { seen, rest: -1 };
    const [type, id] = [stream.readUInt32LE(at), stream.readBigUInt64LE(at + 8)];
    const isOversized = size > maximumSize;
    if (isOversized) seen.push(show(type, id, size));
    if (stream.length - at < size)
      return { seen, rest: isOversized ? size - (stream.length - at) : stream.length - at };
    if (!isOversized) seen.push(show(type, id, stream.subarray(at + HEADER_SIZE, at + size)));
    at += size;
  }
  return { seen, rest: stream.length - at };
}

export const frames = property<Input>({
  inputs,
  check(input) {
    const stream = Buffer.concat(input.parts.map(encode));
    const seen: string[] = [];
    const onOversized = ({ type, id, size }: OversizedFrame) => void seen.push(show(type, id, size));
    const decoder = new FrameDecoder({
      maximumSize: input.maximumSize,
      ...(input.skips && { onOversized }),
    });
    let failed = false;
    for (const chunk of cut(stream, input.cuts)) {
      // Overwritten behind it, as by a caller that uses its buffer again.
      const lent = Buffer.from(chunk);
      try {
        decoder.push(lent, ({ type, id, body }) => void seen.push(show(type, id, body)));
      } catch (error) {
        hold(error instanceof AgentError && error.code === "INVALID_FRAME", () => String(error));
        failed = true;
        break;
      }
      lent.fill(0xaa);
    }
    const wanted = expected(stream, input);
    hold(failed === wanted.rest < 0, `it ${failed ? "failed" : "did not fail"}`);
    hold(JSON.stringify(seen) === JSON.stringify(wanted.seen), () => `${seen} instead of ${wanted.seen}`);
    if (!failed) hold(decoder.pending === wanted.rest, `${decoder.pending} pending, not ${wanted.rest}`);
  },
});
