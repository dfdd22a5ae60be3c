import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import tap, { test } from "tap";
import { OutputStream } from "../../../../src/hcs/guest/output-stream.ts";
import {
  encodeFrame,
  encodeHeader,
  FrameType,
  PROTOCOL_VERSION,
} from "../../../../src/hcs/transport/forwarder/frame.ts";
import { ForwarderHostTransport } from "../../../../src/hcs/transport/forwarder-host-transport.ts";
import { shortDirectory } from "../../short-directory.ts";

tap.setTimeout(180_000);

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const OFFERED = 5;
const CLOSED = 6;
/** Streams that the host keeps at the same time, three accepted and four that wait. */
const ACCEPTED = 3;
const WAITING = 4;
/**
 * docs/security.md states it: 1 MiB for each stream that the host asked for, and 8 MiB for the channel. A sixth of what
 * a guest sends here at most.
 */
const BOUND_BYTES = (ACCEPTED + WAITING + 8) * 2 ** 20;
const CHUNK_BYTES = 64 * 1024;
const STEP_CHUNKS = 400;
const hello = encodeFrame(FrameType.hello, PROTOCOL_VERSION, 0x7fffffff);

interface Attack {
  readonly kind: "refused" | "offered" | "drip" | "closed early";
  /** Bytes of each DATA frame for the stream that shall be kept. */
  readonly bytes: number;
  /** Bytes beside it, which nobody keeps, so that the piece is a small part of its chunk. */
  readonly filler: number;
}

const attack: fc.Arbitrary<Attack> = fc.record({
  kind: fc.constantFrom("refused", "offered", "drip", "closed early"),
  bytes: fc.integer({ min: 1, max: 700 }),
  filler: fc.integer({ min: 0, max: 32_000 }),
});

function data(id: number, bytes: number): Buffer {
  return Buffer.concat([encodeHeader(FrameType.data, id, bytes), Buffer.alloc(bytes, "x")]);
}

/** A guest's forwarder that was replaced by its root. */
class Attacker {
  readonly #socket: Socket;
  #nextStream = 0;
  #sent = 0;

  constructor(socket: Socket) {
    this.#socket = socket.on("error", () => {});
  }

  get megabytes(): number {
    return Math.round(this.#sent / 2 ** 20);
  }

  /** @returns false when the host reads no more. */
  async send(chunk: Buffer): Promise<boolean> {
    if (this.#socket.destroyed) return false;
    this.#sent += chunk.length;
    if (this.#socket.write(chunk)) return true;
    const drained = once(this.#socket, "drain").then(
      () => true,
      () => false,
    );
    return await Promise.race([drained, delay(300, false)]);
  }

  async run({ kind, bytes, filler }: Attack): Promise<void> {
    const kept = this.#open(OFFERED);
    const refused = this.#open(CLOSED);
    await this.send(Buffer.concat([kept.frame, refused.frame]));
    const noise = filler > 0 ? data(refused.id, filler) : Buffer.alloc(0);
    let left = 60_000;
    for (let chunk = 0; chunk < STEP_CHUNKS; chunk++) {
      let frames: Buffer;
      if (kind === "drip" && left >= bytes) {
        left -= bytes;
        frames = Buffer.concat([data(kept.id, bytes), noise, noise]);
      } else if (kind === "refused") {
        frames = this.#fill(() => this.#open(CLOSED).frame);
      } else if (kind === "offered") {
        frames = this.#fill(() => this.#open(OFFERED).frame);
      } else {
        frames = this.#fill(() => {
          const { id, frame } = this.#open(OFFERED);
          return Buffer.concat([frame, data(id, bytes), encodeFrame(FrameType.reset, id, 0), noise]);
        });
      }
      if (!(await this.send(frames))) return;
    }
  }

  #open(port: number): { id: number; frame: Buffer } {
    const id = this.#nextStream++;
    return { id, frame: encodeFrame(FrameType.open, id, port) };
  }

  #fill(make: () => Buffer): Buffer {
    const frames: Buffer[] = [];
    for (let size = 0; size < CHUNK_BYTES; ) {
      const frame = make();
      frames.push(frame);
      size += frame.length;
    }
    return Buffer.concat(frames);
  }
}

/** The collector gives buffers back on a thread of its own, a moment later: the least of some looks counts. */
async function usedBytes(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let look = 0; look < 4; look++) {
    collectGarbage();
    await delay(5);
    const { heapUsed, external } = process.memoryUsage();
    least = Math.min(least, heapUsed + external);
  }
  return least;
}

test("whatever a guest sends, the host keeps no more than it states", async (t) => {
  let most = 0;
  let sent = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(attack, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      async (attacks, reads) => {
        const directory = shortDirectory(t);
        const server = createServer().listen(join(directory, "channel"));
        await once(server, "listening");
        const guest = connect(join(directory, "channel"));
        const [channel] = (await once(server, "connection")) as [Socket];
        server.close();
        const transport = new ForwarderHostTransport();
        const listener = await transport.listen(OFFERED, { backlog: WAITING });
        transport.attach(channel);
        const attacker = new Attacker(guest);
        const before = await usedBytes();
        await attacker.send(Buffer.concat([hello, encodeFrame(FrameType.listen, OFFERED, 0)]));
        if (reads) guest.resume();
        // As those of a process whose caller does not read; they stay alive with what they hold.
        const held: OutputStream[] = [];
        const accepting = (async () => {
          while (held.length < ACCEPTED) held.push(new OutputStream(await listener.accept(), "stdout"));
        })().catch(() => undefined);
        for (const one of attacks) {
          await attacker.run(one);
          const used = (await usedBytes()) - before;
          most = Math.max(most, used);
          if (used > BOUND_BYTES) throw new Error(`${used} bytes are kept after ${JSON.stringify(one)}`);
        }
        sent = Math.max(sent, attacker.megabytes);
        guest.destroy();
        await transport.close();
        await accepting;
      },
    ),
    { numRuns: 12, endOnFailure: true },
  );
  t.comment(`most kept: ${(most / 2 ** 20).toFixed(1)} MiB; most sent: ${sent} MiB`);
  t.ok(sent > 20, "and much was sent");
});
