import { type Duplex, duplexPair } from "node:stream";
import fc from "fast-check";
import { AgentError } from "../../../src/common/errors.ts";
import {
  encodeFrame,
  encodeHeader,
  FrameParser,
  FrameType,
  MAX_PAYLOAD_BYTES,
  PROTOCOL_VERSION,
} from "../../../src/hcs/transport/forwarder/frame.ts";
import { ForwarderHostTransport } from "../../../src/hcs/transport/forwarder-host-transport.ts";
import { bytesOf, hex } from "../generators/bytes.ts";
import { hold, property } from "../target.ts";

type Act =
  | "open"
  | "data"
  | "fin"
  | "reset"
  | "close"
  | "credit"
  | "refused"
  | "ping"
  | "bye"
  | "write"
  | "pause"
  | "read"
  | "end"
  | "destroy"
  | "turn";

type Step =
  | { readonly do: Act; readonly stream: number; readonly size: number }
  /** What no forwarder says. */
  | { readonly do: "breach"; readonly type: number; readonly subject: number; readonly number?: number }
  | { readonly do: "bytes"; readonly bytes: string };

interface Input {
  readonly steps: readonly Step[];
  readonly refusesListen: boolean;
  /** Of each of the guest's writes, bytes after which it is cut in two. */
  readonly cut: number;
}

const ACTS: readonly Act[] = [
  "open",
  "open",
  "data",
  "data",
  "data",
  "fin",
  "reset",
  "close",
  "credit",
  "refused",
  "ping",
  "bye",
  "write",
  "write",
  "pause",
  "read",
  "end",
  "destroy",
  "turn",
];

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 40,
    arbitrary: fc.record({
      do: fc.constantFrom(...ACTS),
      stream: fc.nat(6),
      size: fc.oneof(fc.nat(2000), fc.constantFrom(1, 16_384, MAX_PAYLOAD_BYTES, 70_000)),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record(
      {
        do: fc.constant("breach" as const),
        type: fc.nat(14),
        subject: fc.oneof(fc.nat(8), fc.nat(0xffff_ffff)),
        number: fc.oneof(fc.nat(8), fc.nat(0xffff_ffff)),
      },
      { requiredKeys: ["do", "type", "subject"] },
    ),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("bytes" as const), bytes: hex({ maxLength: 40 }) }) },
);

const PORT = 5;
const GUEST_WINDOW = 50_000;
const toHost = (at: number) => at % 251;
const toGuest = (at: number) => (at * 7) % 253;

function pattern(from: number, size: number, byteAt: (at: number) => number): Buffer {
  return Buffer.from(Array.from({ length: size }, (_, index) => byteAt(from + index)));
}

/** One stream, as the guest's forwarder keeps account of it. */
interface Account {
  readonly id: number;
  sent: number;
  received: number;
  /** Of the host's window. */
  maySend: number;
  /** Of ours. */
  mayCome: number;
  hasEnded: boolean;
  hostEnded: boolean;
  isOver: boolean;
}

class Guest {
  readonly accounts: Account[] = [];
  readonly #channel: Duplex;
  readonly #refusesListen: boolean;
  readonly #cut: number;
  /** It has said nothing that a forwarder does not say. */
  isHonest = true;
  violation: Error | undefined;
  /** Goodbyes that the host has not answered. */
  goodbyes = 0;
  #hostWindow = 0;

  constructor(channel: Duplex, { refusesListen, cut }: Input) {
    this.#channel = channel;
    this.#refusesListen = refusesListen;
    this.#cut = cut;
    const parser = new FrameParser({
      onData: (id, part) => this.#onData(id, part),
      onFrame: (type, subject, number) => this.#onFrame(type, subject, number ?? 0),
    });
    channel.on("error", () => {});
    channel.on("data", (chunk: Buffer) => {
      try {
        parser.push(chunk);
      } catch (error) {
        this.violation ??= error as Error;
      }
    });
    this.say(encodeFrame(FrameType.hello, PROTOCOL_VERSION, GUEST_WINDOW));
  }

  say(bytes: Buffer): void {
    if (this.#channel.destroyed) return;
    this.#channel.write(bytes.subarray(0, this.#cut));
    this.#channel.write(bytes.subarray(this.#cut));
  }

  open(): void {
    const id = this.accounts.length;
    this.accounts.push({
      id,
      sent: 0,
      received: 0,
      maySend: this.#hostWindow,
      mayCome: GUEST_WINDOW,
      hasEnded: false,
      hostEnded: false,
      isOver: false,
    });
    this.say(encodeFrame(FrameType.open, id, PORT));
  }

  data(stream: Account, wanted: number): void {
    const size = Math.min(wanted, stream.maySend, MAX_PAYLOAD_BYTES);
    if (size === 0 || stream.hasEnded) return;
    this.say(
      Buffer.concat([encodeHeader(FrameType.data, stream.id, size), pattern(stream.sent, size, toHost)]),
    );
    stream.sent += size;
    stream.maySend -= size;
  }

  credit(stream: Account): void {
    const bytes = GUEST_WINDOW - stream.mayCome;
    if (bytes === 0) return;
    stream.mayCome += bytes;
    this.say(encodeFrame(FrameType.credit, stream.id, bytes));
  }

  #onData(id: number, part: Buffer): void {
    const stream = this.#account(id);
    if (stream.isOver) return;
    stream.mayCome -= part.length;
    if (this.isHonest) hold(stream.mayCome >= 0 && !stream.hostEnded, `stream ${id} is overrun`);
    hold(part.equals(pattern(stream.received, part.length, toGuest)), `stream ${id} has other bytes`);
    stream.received += part.length;
  }

  #onFrame(type: number, subject: number, number: number): void {
    if (type === FrameType.hello) this.#hostWindow = number;
    if (type === FrameType.listen || type === FrameType.unlisten)
      this.say(encodeFrame(type, subject, this.#refusesListen && type === FrameType.listen ? 98 : 0));
    if (type === FrameType.credit) {
      const stream = this.#account(subject);
      stream.maySend += number;
    }
    if (type === FrameType.fin) {
      const stream = this.#account(subject);
      hold(!stream.hostEnded, `stream ${subject} has ended twice`);
      stream.hostEnded = true;
      if (stream.hasEnded) stream.isOver = true;
    }
    if (type === FrameType.bye) this.goodbyes--;
    if (type === FrameType.reset) this.#account(subject).isOver = true;
    hold(type !== FrameType.open && type !== FrameType.refused && type <= FrameType.bye, `a frame ${type}`);
  }

  #account(id: number): Account {
    const stream = this.accounts[id];
    // What it was told by accident, it may speak of.
    if (stream !== undefined) return stream;
    hold(!this.isHonest, `a frame for stream ${id}, which never was`);
    return {
      id,
      sent: 0,
      received: 0,
      maySend: 0,
      mayCome: 0,
      hasEnded: true,
      hostEnded: false,
      isOver: true,
    };
  }
}

/** What a program of the host does with its end. */
interface HostEnd {
  readonly stream: Duplex;
  read: number;
  written: number;
  isDone: boolean;
}

function take(stream: Duplex, guest: Guest): HostEnd {
  const end: HostEnd = { stream, read: 0, written: 0, isDone: false };
  stream.on("error", (error) => {
    if (!(error instanceof AgentError)) guest.violation ??= error;
  });
  stream.on("data", (chunk: Buffer) => {
    if (guest.isHonest && !chunk.equals(pattern(end.read, chunk.length, toHost)))
      guest.violation ??= new Error(`byte ${end.read} from the guest and on are others`);
    end.read += chunk.length;
  });
  return end;
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function act(
  { do: what, stream: index, size }: { do: Act; stream: number; size: number },
  guest: Guest,
  ends: HostEnd[],
) {
  const account = guest.accounts[index % Math.max(1, guest.accounts.length)];
  const end = ends[index % Math.max(1, ends.length)];
  if (what === "open" && guest.accounts.length < 40) guest.open();
  if (what === "refused") guest.say(encodeFrame(FrameType.refused, PORT, size % 140));
  if (what === "ping") guest.say(encodeFrame(FrameType.ping, size));
  if (what === "bye") {
    guest.goodbyes++;
    guest.say(encodeFrame(FrameType.bye, 0));
  }
  if (account !== undefined && !account.isOver) {
    if (what === "data") guest.data(account, size);
    if (what === "credit") guest.credit(account);
    if (what === "fin" && !account.hasEnded) {
      account.hasEnded = true;
      guest.say(encodeFrame(FrameType.fin, account.id));
      if (account.hostEnded) account.isOver = true;
    }
    if (what === "reset" || what === "close") {
      account.isOver = true;
      guest.say(encodeFrame(FrameType.reset, account.id, what === "reset" ? 104 : 32));
    }
  }
  if (end === undefined || end.isDone) return;
  if (what === "write" && end.stream.writable) {
    end.stream.write(pattern(end.written, size, toGuest));
    end.written += size;
  }
  if (what === "pause") end.stream.pause();
  if (what === "read") end.stream.resume();
  if (what === "end") {
    end.isDone = true;
    end.stream.end();
  }
  if (what === "destroy") {
    end.isDone = true;
    end.stream.destroy();
  }
}

export const forwarderHost = property<Input>({
  inputs: fc.record({
    steps: fc.array(step, { maxLength: 60, size: "max" }),
    refusesListen: fc.oneof(
      { weight: 9, arbitrary: fc.constant(false) },
      { weight: 1, arbitrary: fc.boolean() },
    ),
    cut: fc.nat(20),
  }),
  async check(input) {
    const [host, channel] = duplexPair() as [Duplex, Duplex];
    const transport = new ForwarderHostTransport();
    const guest = new Guest(channel, input);
    transport.attach(host);
    const ends: HostEnd[] = [];
    const accepting = (async () => {
      const listener = await transport.listen(PORT, { backlog: 64 });
      for (;;) {
        try {
          ends.push(take(await listener.accept(), guest));
        } catch (error) {
          // A dial that was refused in the guest is told to who accepts; what ends the transport ends this.
          hold(error instanceof AgentError, () => String(error));
          if (channel.destroyed || host.destroyed) return;
          await turn();
        }
      }
    })();
    const outcome = accepting.catch((error: unknown) => error);
    await turn();
    for (const step of input.steps) {
      if (step.do === "breach" || step.do === "bytes") guest.isHonest = false;
      if (step.do === "breach") guest.say(encodeFrame(step.type, step.subject, step.number));
      else if (step.do === "bytes") guest.say(bytesOf(step.bytes));
      else if (step.do === "turn") await turn();
      else act(step, guest, ends);
      if (guest.violation !== undefined) throw guest.violation;
    }
    for (let turns = 0; turns < 20; turns++) await turn();
    if (guest.violation !== undefined) throw guest.violation;
    if (guest.isHonest && !input.refusesListen) {
      hold(!host.destroyed, "the channel was given up");
      hold(guest.goodbyes === 0, `${guest.goodbyes} goodbyes are not answered`);
    }
    await transport.close();
    channel.destroy();
    const error = await outcome;
    hold(error === undefined || error instanceof AgentError, () => String(error));
    // What has arrived is still there for who reads it; then each is over, one way or the other.
    for (const { stream } of ends) stream.resume();
    for (let turns = 0; turns < 100 && ends.some(({ stream }) => !stream.closed); turns++) await turn();
    hold(
      ends.every(({ stream }) => stream.closed),
      "a stream is open still",
    );
    if (guest.violation !== undefined) throw guest.violation;
  },
});
