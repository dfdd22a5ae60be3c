/** A host at the other end of an agent's bridge: keeps account of what it asked and what it got. */
import { closeFd, socketPair } from "../../../native/hvsock/index.ts";
import { AgentError } from "../../../src/common/errors.ts";
import type { Bridge } from "../../../src/gcs/bridge/bridge.ts";
import type { ByteStream, ByteStreamHandlers } from "../../../src/gcs/bridge/connection.ts";
import { decodeNotification, decodeResponse, type Notification } from "../../../src/protocol/codec.ts";
import {
  encodeFrame,
  type Frame,
  FrameDecoder,
  MAXIMUM_SIZE_FROM_GUEST,
} from "../../../src/protocol/frame.ts";
import { fromSigned } from "../../../src/protocol/hresult.ts";
import {
  type MessageName,
  messageNameOf,
  NOTIFICATION_TYPE,
  responseTypeOf,
} from "../../../src/protocol/messages.ts";
import { SocketConnection } from "../../../src/stdio/socket-connection.ts";
import type { Connection, Transport } from "../../../src/stdio/transport.ts";
import { hold } from "../target.ts";
import { KNOWN_RESULTS } from "../targets/messages.ts";
import type { Fate } from "./runtime.ts";

/** As much as a socket's buffer: what a stalled host lets the agent write before that is told to wait. */
const FULL_BYTES = 64 * 1024;

/** One bridge connection, as the agent sees it. */
class FakeStream implements ByteStream {
  readonly #onBytes: (bytes: Buffer) => void;
  #handlers: ByteStreamHandlers | undefined;
  /** What the agent has not taken, being paused. */
  #input: Buffer[] = [];
  #output: Buffer[] = [];
  #waiting = 0;
  #isPaused = false;
  #isStalled = false;
  #isClosed = false;
  bytesSent = 0;

  constructor(onBytes: (bytes: Buffer) => void) {
    this.#onBytes = onBytes;
  }

  start(handlers: ByteStreamHandlers): void {
    this.#handlers = handlers;
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    setImmediate(() => this.#feed());
  }

  write(bytes: Buffer): boolean {
    this.#output.push(bytes);
    this.#waiting += bytes.length;
    if (!this.#isStalled) this.#take();
    return this.#waiting < FULL_BYTES;
  }

  close(): void {
    this.cut();
  }

  /** The host's doings from here. */

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isTakenUp(): boolean {
    return this.#input.length === 0;
  }

  send(bytes: Buffer): void {
    this.#input.push(bytes);
    this.#feed();
  }

  stall(isStalled: boolean): void {
    this.#isStalled = isStalled;
    if (isStalled || this.#isClosed) return;
    this.#take();
    this.#handlers?.onDrain();
  }

  /** The connection breaks; what the agent wrote and the host did not take is lost. */
  cut(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    setImmediate(() => this.#handlers?.onClose(undefined));
  }

  #feed(): void {
    while (!this.#isPaused && !this.#isClosed) {
      const bytes = this.#input.shift();
      if (bytes === undefined) return;
      const lent = Buffer.from(bytes);
      this.#handlers?.onData(lent);
      lent.fill(0xaa);
    }
  }

  #take(): void {
    if (this.#isClosed) return;
    for (const bytes of this.#output.splice(0)) {
      this.bytesSent += bytes.length;
      this.#onBytes(bytes);
    }
    this.#waiting = 0;
  }
}

interface Asked {
  readonly type: number;
  /** undefined for a message that is none. */
  readonly name: MessageName | undefined;
  /** A request for the end of the utility VM has no reply. */
  readonly mayBeSilent: boolean;
  readonly body: string;
  answers: number;
}

export class FakeHost {
  readonly #bridge: Bridge;
  #stream: FakeStream | undefined;
  #served: Promise<unknown> = Promise.resolve();
  #nextId = 1n;
  #asked = new Map<bigint, Asked>();
  /** Of hosts before this one, who count no more. */
  readonly #forgotten = new Set<bigint>();
  readonly notifications: Notification[] = [];
  /** Processes that the agent has named. */
  readonly pids: { readonly pid: number; readonly containerId: string }[] = [];
  #violation: Error | undefined;

  constructor(bridge: Bridge) {
    this.#bridge = bridge;
  }

  get isConnected(): boolean {
    return this.#stream?.isClosed === false;
  }

  /** @throws Error of what the agent did wrong. */
  check(): void {
    if (this.#violation !== undefined) throw this.#violation;
  }

  async connect(): Promise<void> {
    await this.disconnect();
    const decoder = new FrameDecoder({ maximumSize: MAXIMUM_SIZE_FROM_GUEST });
    const stream = new FakeStream((bytes) => {
      try {
        decoder.push(bytes, (frame) => this.#receive(frame));
      } catch (error) {
        this.#violation ??= error as Error;
      }
    });
    this.#stream = stream;
    this.#served = this.#bridge.serve(stream);
  }

  async disconnect(): Promise<void> {
    this.#stream?.cut();
    await this.#served;
  }

  /** Counts from the start, as another host does. */
  becomeAnother(): void {
    for (const id of this.#asked.keys()) this.#forgotten.add(id);
    this.#asked = new Map();
    this.#nextId = 0n;
  }

  /** @param cutAfter bytes of it, after which the connection breaks */
  ask(type: number, body: string, options: { mayBeSilent: boolean; cutAfter?: number | undefined }): void {
    const id = this.#nextId++;
    const frame = encodeFrame(type, id, body);
    const { cutAfter, mayBeSilent } = options;
    if (cutAfter !== undefined && cutAfter < frame.length) {
      this.#stream?.send(frame.subarray(0, cutAfter));
      this.#stream?.cut();
      return;
    }
    this.#asked.set(id, { type, name: messageNameOf(type), mayBeSilent, body, answers: 0 });
    this.#stream?.send(frame);
    if (cutAfter !== undefined) this.#stream?.cut();
  }

  stall(isStalled: boolean): void {
    this.#stream?.stall(isStalled);
  }

  /** What is not answered yet and has to be. */
  get owed(): string[] {
    if (this.#stream?.isTakenUp === false) return ["a request that is not even read"];
    return [...this.#asked]
      .filter(([, { answers, mayBeSilent }]) => answers === 0 && !mayBeSilent)
      .map(([id, { name, type }]) => `${name ?? type} ${id}`);
  }

  /** Those whose connection broke may never have been read. */
  forgive(): void {
    for (const [id, asked] of this.#asked) this.#asked.set(id, { ...asked, mayBeSilent: true });
  }

  #receive(frame: Frame): void {
    if (frame.type === NOTIFICATION_TYPE) {
      hold(frame.id === 0n, `a notification with the id ${frame.id}`);
      this.notifications.push(decodeNotification(frame.body));
      return;
    }
    const asked = this.#asked.get(frame.id);
    if (asked === undefined) {
      hold(this.#forgotten.delete(frame.id), `an answer to ${frame.id}, which nobody asked`);
      return;
    }
    asked.answers++;
    const label = `${asked.name ?? asked.type} ${frame.id}`;
    hold(asked.answers === 1, `${label} has ${asked.answers} answers`);
    hold(frame.type === responseTypeOf(asked.type), `the answer to ${label} is of type ${frame.type}`);
    const response = decodeResponse(asked.name ?? "Start", frame.body);
    hold(KNOWN_RESULTS.has(fromSigned(response.Result)), `the HRESULT ${response.Result} to ${label}`);
    if ("ProcessId" in response)
      this.pids.push({ pid: response.ProcessId, containerId: containerOf(asked.body) });
  }
}

function containerOf(body: string): string {
  const { ContainerId } = JSON.parse(body) as { ContainerId: string };
  return ContainerId;
}

/** Stdio of processes goes into sockets that nobody reads; a dial fails where fate says so. */
export class FakeTransport implements Transport {
  readonly name = "fake";
  readonly #fate: Fate;
  readonly #ends: number[] = [];
  #isClosed = false;

  constructor(fate: Fate) {
    this.#fate = fate;
  }

  async dial(port: number): Promise<Connection> {
    if (this.#isClosed || this.#fate.next() % 5 === 4)
      throw new AgentError("DIAL_FAILED", `port ${port} is not there`);
    const [theirs, ours] = socketPair();
    this.#ends.push(ours);
    return new SocketConnection(theirs);
  }

  /** From here on nobody listens. */
  close(): void {
    this.#isClosed = true;
    for (const fd of this.#ends.splice(0)) closeFd(fd);
  }
}
