import {
  closeFd,
  closeInBackground,
  pipe,
  type Relay,
  setPipeSize,
  startRelay,
} from "../../native/hvsock/index.ts";
import { settlesWithin } from "../common/deadline.ts";
import { AgentError } from "../common/errors.ts";
import { type ConnectionSet, closeConnections } from "./connection-set.ts";
import { drainOutput, endWhenSilent, hostCloseMs, kernelCallMs, type RelayProgress } from "./drain.ts";
import type { Connection } from "./transport.ts";

/** Which pipes the process gets; it has /dev/null for the others. */
export interface PipeStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

export interface ChildFds {
  readonly stdin?: number;
  readonly stdout?: number;
  readonly stderr?: number;
}

const outputs = ["stdout", "stderr"] as const;
const streams = ["stdin", ...outputs] as const;
type Stream = (typeof streams)[number];

/**
 * The pipes of a process without a terminal, and the relays between them and the host's connections: new,
 * start() with the connections, drain() after the exit, close(). The child's ends are closed as soon as it has them, before
 * or after start().
 *
 * What the process sees is a host that never goes wrong: a host that closes or resets a connection early makes
 * stdin end and output vanish, and never kills it by SIGPIPE or blocks it.
 */
export class PipeRelay {
  readonly #childFds = new Map<Stream, number>();
  /** Our ends, until start() hands them to the relays. */
  readonly #ourFds = new Map<Stream, number>();
  readonly #relays = new Map<Stream, Relay>();
  /** Of descriptors that the child may have, too: it can make the kernel wait. */
  readonly #closings: Promise<void>[] = [];
  #state: "new" | "started" | "closed" = "new";
  /** drain() was called: the process has exited. */
  #isDraining = false;

  /** @throws Error with code EMFILE or ENFILE; nothing is left open then. */
  constructor(wanted: PipeStreams = { stdin: true, stdout: true, stderr: true }) {
    try {
      for (const stream of streams) if (wanted[stream]) this.#makePipe(stream);
    } catch (error) {
      for (const fd of [...this.#ourFds.values(), ...this.#childFds.values()]) closeFd(fd);
      throw error;
    }
  }

  /** Fds for the child; an absent one means /dev/null, and so do all after closeChildFds(). */
  get childFds(): ChildFds {
    return Object.fromEntries(this.#childFds);
  }

  /** Closes the child's ends here, once the child has them: only then can the output end. */
  closeChildFds(): void {
    this.#closeFds(this.#childFds);
  }

  /**
   * Starts to move bytes; at any time, as the kernel keeps what was written before. A stream without a connection:
   * stdin is at its end, output is discarded. After drain(), what the process wrote is delivered, and stdin's connection
   * is closed. The relay owns the connections from here, also when it refuses them.
   * @throws AgentError INVALID_STATE when started or closed already; the connections are closed then.
   */
  start(connections: ConnectionSet): void {
    try {
      if (this.#state !== "new") throw new AgentError("INVALID_STATE", `the relay is ${this.#state} already`);
      this.#state = "started";
      this.#startInput(connections.stdin);
      this.#startOutput("stdout", connections.stdout);
      this.#startOutput("stderr", connections.stderr);
    } finally {
      closeConnections(connections);
    }
  }

  /**
   * After the process has exited: ends stdin, then settles when all output is handed to the host's connections
   * and their write sides are shut down. Bounded (see drain.ts): where a bound is hit, the relay goes on in the
   * background and loses nothing, until the host closes or close() is called.
   */
  async drain(): Promise<void> {
    this.#isDraining = true;
    if (this.#state !== "started") return;
    this.closeChildFds();
    this.#relays.get("stdin")?.cancel();
    const relays = outputs.flatMap((stream) => this.#relays.get(stream) ?? []);
    await Promise.all(relays.map((relay) => drainOutput(relay)));
  }

  /**
   * After drain(): settles when each stream has handed over all that was written, or its host has closed, however long the
   * host takes; at once after close().
   */
  async delivered(): Promise<void> {
    await Promise.all([...this.#relays.values()].map((relay) => relay.closed));
  }

  /** Of the streams that were started. */
  get progress(): readonly RelayProgress[] {
    return [...this.#relays].map(([stream, { bytes, hasEnded }]) => ({ stream, bytes, hasEnded }));
  }

  /** Output is on its way that its host has not taken yet: close() would lose it. */
  get isDelivering(): boolean {
    return outputs.some((stream) => this.#relays.get(stream)?.hasEnded === false);
  }

  /**
   * Frees all fds; bytes on their way are lost. Safe at any time.
   * @returns true when they are free; false when the kernel has not let go of them by then: they are freed once it does.
   */
  async close(withinMs = kernelCallMs): Promise<boolean> {
    this.#state = "closed";
    this.#closeFds(this.#ourFds);
    this.#closeFds(this.#childFds);
    const relays = [...this.#relays.values()];
    this.#relays.clear();
    for (const relay of relays) relay.cancel();
    const closed = Promise.all([...this.#closings, ...relays.map((relay) => relay.closed)]);
    return await settlesWithin(closed, withinMs);
  }

  #makePipe(stream: Stream): void {
    const { readFd, writeFd } = pipe();
    this.#childFds.set(stream, stream === "stdin" ? readFd : writeFd);
    this.#ourFds.set(stream, stream === "stdin" ? writeFd : readFd);
    setPipeSize(readFd);
  }

  #startInput(connection: Connection | undefined): void {
    const sink = this.#take("stdin");
    if (sink === undefined) return;
    if (connection === undefined || this.#isDraining) {
      this.#close(sink);
      return;
    }
    // A process that closes its stdin: the host's connection is shut down for reading, which is no error.
    const source = connection.release();
    this.#relays.set("stdin", startRelay({ source, sink, shutdownSource: true, lingerMs: hostCloseMs }));
  }

  #startOutput(stream: "stdout" | "stderr", connection: Connection | undefined): void {
    const source = this.#take(stream);
    if (source === undefined) return;
    const sink = connection?.release() ?? "discard";
    const relay = startRelay({
      source,
      sink,
      shutdownSink: true,
      discardAfterSinkError: true,
      lingerMs: hostCloseMs,
    });
    if (this.#isDraining) void endWhenSilent(relay);
    this.#relays.set(stream, relay);
  }

  #take(stream: Stream): number | undefined {
    const fd = this.#ourFds.get(stream);
    this.#ourFds.delete(stream);
    return fd;
  }

  #closeFds(fds: Map<Stream, number>): void {
    for (const fd of fds.values()) this.#close(fd);
    fds.clear();
  }

  #close(fd: number): void {
    this.#closings.push(closeInBackground(fd));
  }
}
