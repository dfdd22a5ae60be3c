import { constants } from "node:os";
import type { Duplex } from "node:stream";
import { getSystemErrorMessage } from "node:util";
import { AgentError } from "../../../common/errors.ts";
import {
  encodeFrame,
  encodeHeader,
  FrameParser,
  FrameType,
  MAX_PAYLOAD_BYTES,
  MAX_WINDOW_BYTES,
  PROTOCOL_VERSION,
  STREAM_SLOTS,
} from "./frame.ts";
import { Heartbeat, type HeartbeatOptions } from "./heartbeat.ts";
import { MuxStream, type StreamCarrier } from "./mux-stream.ts";

/** Bytes of one stream that wait here before somebody reads it, and while its reader is slow. */
const WINDOWS = { unread: 64 * 1024, read: 256 * 1024 };
/** So much of ours may wait for a guest that does not read, before we read no more of what asks for further answers. */
const MAX_WAITING_BYTES = 256 * 1024;

export interface MuxEvents {
  /** The guest dialled `port`. @returns false when nobody listens there. */
  onOpen(port: number, stream: Duplex): boolean;
  /** A dial of `port` came to nothing, for want of something in the guest. */
  onRefused(port: number, reason: AgentError): void;
  /** The guest's forwarder has greeted: it runs. */
  onHello(): void;
  /** The channel is over, by itself or by a breach of the protocol; after this nothing more happens. */
  onLost(reason: AgentError): void;
}

interface Asked {
  settle(): void;
  fail(error: AgentError): void;
}

/**
 * The host's end of the channel to the forwarder in the guest; native/forwarder/protocol.h has the rules. What a guest
 * can make it keep is bounded: a window for each stream that was asked for, and the answers to one chunk.
 */
export class Mux implements StreamCarrier {
  readonly #channel: Duplex;
  readonly #events: MuxEvents;
  readonly #streams = new Map<number, MuxStream>();
  /** Streams with something to send, each taking its turn with one frame. */
  readonly #ready = new Set<MuxStream>();
  /** LISTEN and UNLISTEN that are not answered yet, by "type port", in order. */
  readonly #asked = new Map<string, Asked[]>();
  /** The last stream of each slot: a frame for any other was never owed an answer. */
  readonly #lastOpened = new Map<number, number>();
  readonly #heartbeat: Heartbeat;
  #guestWindow: number | undefined;
  #full = false;
  #lost: AgentError | undefined;

  /** @param channel a connected byte stream, owned by the mux from here. */
  constructor(channel: Duplex, events: MuxEvents, options: HeartbeatOptions = {}) {
    this.#channel = channel;
    this.#events = events;
    this.#heartbeat = new Heartbeat(
      () => this.#send(encodeFrame(FrameType.ping, 0)),
      (seconds) => this.#lose(silent(seconds)),
      options,
    );
    const parser = new FrameParser({
      onData: (id, part) => this.#find(id)?.takeData(part),
      onFrame: (type, subject, number) => this.#handle(type, subject, number),
    });
    channel.on("data", (chunk: Buffer) => {
      this.#heartbeat.noteLife();
      this.#channel.cork();
      try {
        if (this.#lost === undefined) parser.push(chunk);
      } catch (cause) {
        this.#lose(cause instanceof AgentError ? cause : wrap(cause));
      }
      this.#channel.uncork();
      if (this.#channel.writableLength > MAX_WAITING_BYTES) this.#channel.pause();
    });
    channel.on("drain", () => {
      this.#heartbeat.noteLife();
      this.#full = false;
      this.#channel.resume();
      this.#pump();
    });
    channel.on("error", (cause) => this.#lose(wrap(cause)));
    channel.on("end", () =>
      this.#lose(new AgentError("TRANSPORT_CLOSED", "the channel to the guest has ended")),
    );
    channel.on("close", () =>
      this.#lose(new AgentError("TRANSPORT_CLOSED", "the channel to the guest has closed")),
    );
    this.#send(encodeFrame(FrameType.hello, PROTOCOL_VERSION, WINDOWS.unread));
  }

  /** Settles when the guest listens. @throws AgentError SYSTEM_CALL_FAILED, TRANSPORT_CLOSED */
  listen(port: number): Promise<void> {
    return this.#ask(FrameType.listen, port);
  }

  /** Settles when the guest refuses dials. @throws AgentError SYSTEM_CALL_FAILED, TRANSPORT_CLOSED */
  unlisten(port: number): Promise<void> {
    return this.#ask(FrameType.unlisten, port);
  }

  /** Lets the guest run: all ports that its first programs dial are asked for. */
  ready(): void {
    this.#send(encodeFrame(FrameType.ready, 0));
  }

  /** The guest is halted by its host and owes no sign of life, or runs again. */
  suspendHeartbeat(isSuspended: boolean): void {
    this.#heartbeat.suspend(isSuspended);
  }

  /** The channel is known to have ended, though it does not show: the guest closed its end of the port. */
  end(reason: AgentError): void {
    this.#lose(reason);
  }

  /** Ends channel and streams. */
  close(reason: AgentError): void {
    if (this.#lost !== undefined) return;
    this.#lost = reason;
    this.#heartbeat.stop();
    for (const stream of [...this.#streams.values()]) stream.destroy(reason);
    this.#failAll(reason);
    this.#channel.destroy();
  }

  /** Fails every stream with the reason that the channel's loss turned out to have. */
  failStreams(reason: AgentError): void {
    for (const stream of [...this.#streams.values()]) stream.fail(reason);
    this.#failAll(reason);
  }

  schedule(stream: MuxStream): void {
    this.#ready.add(stream);
    this.#pump();
  }

  sendCredit(stream: MuxStream, bytes: number): void {
    this.#send(encodeFrame(FrameType.credit, stream.id, bytes));
  }

  sendReset(stream: MuxStream, errno: number): void {
    this.#send(encodeFrame(FrameType.reset, stream.id, errno));
  }

  forget(stream: MuxStream): void {
    this.#ready.delete(stream);
    if (this.#streams.get(stream.id) === stream) this.#streams.delete(stream.id);
  }

  #pump(): void {
    while (!this.#full && this.#lost === undefined) {
      const stream = this.#ready.values().next().value;
      if (stream === undefined) return;
      this.#ready.delete(stream);
      const piece = stream.takeOutput(MAX_PAYLOAD_BYTES);
      if (piece === undefined) continue;
      if (piece === "end") {
        this.#send(encodeFrame(FrameType.fin, stream.id));
      } else {
        this.#channel.cork();
        this.#send(encodeHeader(FrameType.data, stream.id, piece.length));
        this.#send(piece);
        this.#channel.uncork();
      }
      stream.noteSent();
    }
  }

  /** Control frames do not wait for room: each stream has a bounded few of them. */
  #send(bytes: Buffer): void {
    if (this.#lost === undefined && !this.#channel.write(bytes)) this.#full = true;
  }

  #ask(type: number, port: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    if (this.#lost !== undefined) {
      reject(this.#lost);
      return promise;
    }
    const key = `${type} ${port}`;
    const waiting = this.#asked.get(key) ?? [];
    waiting.push({ settle: resolve, fail: reject });
    this.#asked.set(key, waiting);
    this.#send(encodeFrame(type, port));
    return promise;
  }

  #handle(type: number, subject: number, number: number | undefined): void {
    if (this.#guestWindow === undefined && type !== FrameType.hello)
      throw breach(`frame ${type} before its greeting`);
    switch (type) {
      case FrameType.hello:
        this.#greet(subject, need(number));
        return;
      case FrameType.listen:
      case FrameType.unlisten:
        this.#answer(type, subject, need(number));
        return;
      case FrameType.open:
        this.#open(subject, need(number));
        return;
      case FrameType.fin:
        this.#find(subject)?.takeEnd();
        return;
      case FrameType.reset:
        this.#find(subject)?.takeReset(need(number));
        return;
      case FrameType.credit:
        this.#find(subject)?.takeCredit(need(number), MAX_WINDOW_BYTES);
        return;
      case FrameType.ping:
        return;
      case FrameType.refused:
        this.#events.onRefused(subject, refusal(subject, need(number)));
        return;
      case FrameType.bye:
        // What came before it is in its streams: the guest's machine may go off without loss.
        this.#send(encodeFrame(FrameType.bye, 0));
        return;
      default:
        throw breach(`an unknown frame ${type}`);
    }
  }

  #greet(version: number, window: number): void {
    if (this.#guestWindow !== undefined) throw breach("a second greeting");
    if (version !== PROTOCOL_VERSION) {
      throw breach(
        `version ${version}, not ${PROTOCOL_VERSION}; use an image and a host side of one release`,
      );
    }
    if (window === 0 || window > MAX_WINDOW_BYTES) throw breach(`a window of ${window} bytes`);
    this.#guestWindow = window;
    this.#heartbeat.start();
    this.#events.onHello();
  }

  #answer(type: number, port: number, errno: number): void {
    const asked = this.#asked.get(`${type} ${port}`)?.shift();
    if (asked === undefined) throw breach(`an answer about port ${port} that nobody asked for`);
    if (errno === 0) {
      asked.settle();
      return;
    }
    const verb = type === FrameType.listen ? "listen on" : "stop listening on";
    const why = describeErrno(errno);
    asked.fail(
      new AgentError("SYSTEM_CALL_FAILED", `the guest's forwarder cannot ${verb} port ${port}: ${why}`),
    );
  }

  #open(id: number, port: number): void {
    const slot = id % STREAM_SLOTS;
    const last = this.#lastOpened.get(slot);
    if (last === id || (last !== undefined && this.#streams.has(last))) {
      throw breach(`stream ${id} opened while ${last} has its place`);
    }
    this.#lastOpened.set(slot, id);
    const stream = new MuxStream(id, this, this.#guestWindow ?? 0, WINDOWS);
    this.#streams.set(id, stream);
    if (this.#events.onOpen(port, stream)) return;
    this.forget(stream);
    this.sendReset(stream, constants.errno.ECONNREFUSED);
  }

  /** @returns undefined for a stream that is over here: the frame crossed a RESET of ours. */
  #find(id: number): MuxStream | undefined {
    const stream = this.#streams.get(id);
    if (stream === undefined && this.#lastOpened.get(id % STREAM_SLOTS) !== id) {
      throw breach(`a frame for stream ${id}, which was never opened or has long ended`);
    }
    return stream;
  }

  #lose(reason: AgentError): void {
    if (this.#lost !== undefined) return;
    this.#lost = reason;
    this.#heartbeat.stop();
    this.#channel.destroy();
    this.#events.onLost(reason);
  }

  #failAll(reason: AgentError): void {
    for (const waiting of this.#asked.values()) for (const asked of waiting) asked.fail(reason);
    this.#asked.clear();
  }
}

function need(number: number | undefined): number {
  if (number === undefined) throw breach("a frame without its number");
  return number;
}

function refusal(port: number, errno: number): AgentError {
  const why = describeErrno(errno);
  return new AgentError("TRANSPORT_CLOSED", `the guest's forwarder refused a dial of port ${port}: ${why}`);
}

function silent(seconds: number): AgentError {
  return new AgentError(
    "TIMEOUT",
    `the guest gave no sign of life for ${seconds} s: it hangs, or its machine has no time for it`,
  );
}

/** The number is the guest's: it may be none of Linux's. */
function describeErrno(errno: number): string {
  return errno > 0 && errno < 4096 ? getSystemErrorMessage(-errno) : `errno ${errno}`;
}

function breach(what: string): AgentError {
  return new AgentError("INVALID_FRAME", `the guest's forwarder broke its protocol: ${what}`);
}

function wrap(cause: unknown): AgentError {
  return new AgentError("TRANSPORT_CLOSED", "the channel to the guest failed", { cause });
}
