import { randomInt } from "node:crypto";
import type { Duplex, Readable, Writable } from "node:stream";
import { AgentError } from "../../common/errors.ts";
import { BRIDGE_PORT } from "../../protocol/messages.ts";
import type { HostListener, HostTransport } from "../transport/host-transport.ts";
import { OutputStream } from "./output-stream.ts";

const FIRST_STDIO_PORT = BRIDGE_PORT + 1;
/** Highest vsock port a listener may have is 0xfffffffe: 0xffffffff is VMADDR_PORT_ANY; vsock(7). */
const LAST_STDIO_PORT = 0xffff_fffe;
/** A port that another program of this host has is met once in a long while; not four times in a row. */
const DRAWS = 4;
/**
 * The guest has dialled every stream before it answers the execute request, so accepting takes no longer than
 * a carrier needs to pass the dial on.
 */
const ACCEPT_TIMEOUT_MS = 30_000;

export interface WantedStreams {
  readonly stdin?: boolean;
  readonly stdout?: boolean;
  readonly stderr?: boolean;
}

/** VsockStdioRelaySettings of the execute request. */
export interface StdioRelayPorts {
  StdIn?: number;
  StdOut?: number;
  StdErr?: number;
}

export interface ProcessStreams {
  readonly stdin?: Writable;
  readonly stdout?: Readable;
  readonly stderr?: Readable;
}

/**
 * Hands out stdio ports, drawn at random: over real vsock any program of the guest can dial any port, and one that can
 * count could read another container's stream, or write it.
 */
export class StdioPorts {
  readonly #transport: HostTransport;
  readonly #inUse = new Set<number>();

  constructor(transport: HostTransport) {
    this.#transport = transport;
  }

  /** A listener for one stream: the first to come is the only one. */
  async listen(): Promise<HostListener> {
    for (let draw = 1; ; draw++) {
      const port = this.#draw();
      try {
        const listener = await this.#transport.listen(port, { backlog: 1 });
        return onceOnly(listener, () => this.#inUse.delete(port));
      } catch (cause) {
        this.#inUse.delete(port);
        const isTaken = cause instanceof AgentError && cause.code === "SYSTEM_CALL_FAILED";
        if (!isTaken || draw === DRAWS) throw cause;
      }
    }
  }

  #draw(): number {
    for (;;) {
      const port = randomInt(FIRST_STDIO_PORT, LAST_STDIO_PORT + 1);
      if (this.#inUse.has(port)) continue;
      this.#inUse.add(port);
      return port;
    }
  }
}

/** Closes itself once a stream is accepted: who dials later is refused. */
export function onceOnly(listener: HostListener, onClosed = () => {}): HostListener {
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= listener.close().finally(onClosed);
    return closing;
  };
  return {
    port: listener.port,
    accept: async (options) => {
      const stream = await listener.accept(options);
      // Whoever closes the listener, later, sees a failure of this.
      close().catch(() => undefined);
      return stream;
    },
    close,
  };
}

/** The listeners of one execute request: they listen before it is sent and are closed once it is answered. */
export class StdioChannels {
  readonly ports: StdioRelayPorts;
  readonly #listeners: ReadonlyMap<keyof ProcessStreams, HostListener>;

  static async open(stdioPorts: StdioPorts, wanted: WantedStreams): Promise<StdioChannels> {
    const listeners = new Map<keyof ProcessStreams, HostListener>();
    try {
      for (const name of ["stdin", "stdout", "stderr"] as const) {
        if (wanted[name] === true) listeners.set(name, await stdioPorts.listen());
      }
    } catch (cause) {
      await closeAll(listeners.values());
      throw cause;
    }
    return new StdioChannels(listeners);
  }

  private constructor(listeners: ReadonlyMap<keyof ProcessStreams, HostListener>) {
    this.#listeners = listeners;
    this.ports = {};
    const [stdin, stdout, stderr] = [
      listeners.get("stdin"),
      listeners.get("stdout"),
      listeners.get("stderr"),
    ];
    if (stdin !== undefined) this.ports.StdIn = stdin.port;
    if (stdout !== undefined) this.ports.StdOut = stdout.port;
    if (stderr !== undefined) this.ports.StdErr = stderr.port;
  }

  /** @throws AgentError TIMEOUT, ABORTED, TRANSPORT_CLOSED; then all streams are closed. */
  async accept(options: { signal?: AbortSignal } = {}): Promise<ProcessStreams> {
    const streams: { stdin?: Writable; stdout?: Readable; stderr?: Readable } = {};
    const accepted = await Promise.allSettled(
      [...this.#listeners].map(async ([name, listener]) => {
        const stream = await acceptStream(name, listener, options.signal);
        if (name === "stdin") streams.stdin = watchStdin(stream);
        else streams[name] = new OutputStream(stream, name);
      }),
    );
    const failed = accepted.find((result) => result.status === "rejected");
    if (failed === undefined) return streams;
    for (const stream of Object.values(streams)) stream.destroy();
    throw failed.reason;
  }

  /** Closes the listeners, and with them streams that nobody accepted. */
  async close(): Promise<void> {
    await closeAll(this.#listeners.values());
  }
}

/**
 * On the stdin connection the guest sends nothing but its own end: then the process has closed its stdin, and
 * nobody reads what is written any more.
 */
function watchStdin(stream: Duplex): Writable {
  stream.once("end", () => stream.destroy());
  // Without a listener a reset would end this process; whoever writes still learns of it.
  stream.on("error", () => undefined);
  if (stream.readableEnded) stream.destroy();
  else stream.resume();
  return stream;
}

async function acceptStream(name: string, listener: HostListener, signal?: AbortSignal): Promise<Duplex> {
  const options = { timeoutMs: ACCEPT_TIMEOUT_MS, ...(signal !== undefined && { signal }) };
  try {
    return await listener.accept(options);
  } catch (cause) {
    const code = cause instanceof AgentError ? cause.code : "SYSTEM_CALL_FAILED";
    throw new AgentError(code, `the guest's ${name} connection did not come`, { cause });
  }
}

async function closeAll(listeners: Iterable<HostListener>): Promise<void> {
  await Promise.all([...listeners].map((listener) => listener.close()));
}
