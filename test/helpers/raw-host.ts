/** A host that speaks frames and nothing above: what a test sends is exactly what the agent gets. */
import type { Duplex } from "node:stream";
import type { HostListener, HostTransport } from "../../src/hcs/transport/host-transport.ts";
import { UnixHostTransport } from "../../src/hcs/transport/unix-host-transport.ts";
import { encodeFrame, FrameDecoder } from "../../src/protocol/frame.ts";
import { BRIDGE_PORT, type MessageName, requestTypeOf, responseTypeOf } from "../../src/protocol/messages.ts";

export interface RawFrame {
  readonly type: number;
  readonly id: bigint;
  readonly body: Record<string, unknown>;
}

/** Generous: a test that waits this long has failed. */
const DEADLINE_MS = 30_000;

export async function withDeadline<Value>(
  promise: Promise<Value>,
  what: string,
  ms = DEADLINE_MS,
): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came within ${ms} ms: ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, expired]);
  } finally {
    clearTimeout(timer);
  }
}

export class RawHost {
  readonly #transport: HostTransport;
  readonly #listeners = new Map<number, HostListener>();
  readonly #frames: RawFrame[] = [];
  readonly #waiters = new Set<() => void>();
  #bridge: Duplex | undefined;
  #onDial: (stream: Duplex) => void = () => {};
  #nextId = 1000n;
  /** Frames in the order they came. */
  readonly received: RawFrame[] = [];

  /** @param where a transport, or the prefix of Unix sockets. */
  constructor(where: HostTransport | string) {
    this.#transport = typeof where === "string" ? new UnixHostTransport(where) : where;
  }

  /** Listens on a port; each connection is handed over as it comes. */
  async listen(port: number, onConnection: (stream: Duplex) => void): Promise<void> {
    const listener = await this.#transport.listen(port);
    this.#listeners.set(port, listener);
    const next = (): void => {
      listener.accept().then(
        (stream) => {
          stream.on("error", () => {});
          onConnection(stream);
          next();
        },
        () => {},
      );
    };
    next();
  }

  async stopListening(port: number): Promise<void> {
    const listener = this.#listeners.get(port);
    this.#listeners.delete(port);
    await listener?.close();
  }

  /** Listens on the bridge port (once) and waits for the agent's next dial, which may first have to boot. */
  async accept(withinMs?: number): Promise<void> {
    const dialled = new Promise<Duplex>((resolve) => {
      this.#onDial = resolve;
    });
    if (!this.#listeners.has(BRIDGE_PORT)) await this.listen(BRIDGE_PORT, (stream) => this.#onDial(stream));
    this.#bridge = await withDeadline(dialled, "the agent's dial", withinMs);
    const decoder = new FrameDecoder({ maximumSize: 64 * 1024 });
    const bridge = this.#bridge;
    bridge.on("error", () => {});
    bridge.on("end", () => bridge.end());
    this.#bridge.on("data", (chunk: Buffer) =>
      decoder.push(chunk, ({ type, id, body }) => {
        const frame = { type, id, body: JSON.parse(body.toString()) as Record<string, unknown> };
        this.received.push(frame);
        this.#frames.push(frame);
        for (const look of this.#waiters) look();
      }),
    );
  }

  get bridge(): Duplex {
    if (this.#bridge === undefined) throw new Error("the agent has not dialled");
    return this.#bridge;
  }

  send(type: number, id: bigint, body: unknown): void {
    this.bridge.write(encodeFrame(type, id, typeof body === "string" ? body : JSON.stringify(body)));
  }

  /** The next frame that fits; others are kept. */
  take(fits: (frame: RawFrame) => boolean, what: string): Promise<RawFrame> {
    return withDeadline(
      new Promise((resolve) => {
        const look = () => {
          const index = this.#frames.findIndex(fits);
          if (index === -1) return;
          const [frame] = this.#frames.splice(index, 1);
          this.#waiters.delete(look);
          if (frame !== undefined) resolve(frame);
        };
        this.#waiters.add(look);
        look();
      }),
      what,
    );
  }

  reply(name: MessageName, id: bigint): Promise<RawFrame> {
    return this.take(
      (frame) => frame.id === id && frame.type === responseTypeOf(name),
      `the reply to ${name}`,
    );
  }

  /** One request and the body of its reply. */
  async request(name: MessageName, body: unknown): Promise<Record<string, unknown>> {
    const id = this.#nextId++;
    this.send(requestTypeOf(name), id, body);
    return (await this.reply(name, id)).body;
  }

  async negotiate(): Promise<Record<string, unknown>> {
    return this.request("NegotiateProtocol", { ContainerId: "", MinimumVersion: 4, MaximumVersion: 4 });
  }

  /** Hangs up and listens no more; the transport stays usable for another host. */
  async hangUp(): Promise<void> {
    this.#bridge?.destroy();
    await Promise.all([...this.#listeners.keys()].map((port) => this.stopListening(port)));
  }

  async close(): Promise<void> {
    await this.hangUp();
    await this.#transport.close();
  }
}
