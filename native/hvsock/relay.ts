import { AgentError } from "../../src/common/errors.ts";
import { binding, type NativeRelay } from "./binding.ts";

export interface RelayOptions {
  /** A descriptor to read: a pipe, a stream socket or a terminal. The relay owns it from here. */
  readonly source: number;
  /**
   * A descriptor to write, likewise, which the relay owns from here, or "discard". A descriptor that two relays need (one
   * socket or one terminal used both ways) is duplicated first: each owns its own.
   */
  readonly sink: number | "discard";
  /** Shut the sink's write side down once everything is handed over (sockets; a pipe is closed anyway). */
  readonly shutdownSink?: boolean;
  /** When the sink fails, shut the source's read side down, so that its peer hears of it (sockets). */
  readonly shutdownSource?: boolean;
  /** When the sink fails, go on reading into nothing: the writer neither blocks nor gets SIGPIPE. */
  readonly discardAfterSinkError?: boolean;
  /**
   * Milliseconds to wait, after the socket was shut down, for its peer to close before we close; default 0. An
   * abrupt close could overtake bytes in flight.
   */
  readonly lingerMs?: number;
  /** Whether a relay that has not ended keeps the event loop alive; default true. */
  readonly keepsLoopAlive?: boolean;
}

/**
 * - eof: the source ended and everything was handed over
 * - drained: as eof, but ended by drain() since the source was silent
 * - cancelled: by cancel()
 * - source-error, sink-error: see `code`; memory that lacked is a source-error with ENOMEM
 */
export type RelayEndReason = "eof" | "cancelled" | "source-error" | "sink-error" | "drained";

export interface RelayResult {
  /** Bytes the sink has taken, or that were discarded. */
  readonly bytes: number;
  readonly reason: RelayEndReason;
  /** The errno's name for the two errors: EPIPE (the peer closed), ECONNRESET ... */
  readonly code?: string;
}

const reasons: readonly RelayEndReason[] = ["eof", "cancelled", "source-error", "sink-error", "drained"];
const kinds = ["end", "closed"] as const;

/** How long a source must be silent, in milliseconds, before drain() takes it for ended. */
export const defaultDrainIdleMs = 500;
/** How long one that is not silent is listened to after its backlog is handed over, in milliseconds. */
export const defaultDrainLimitMs = 5_000;

/**
 * Starts to move bytes one way, off the event loop, within the kernel where one end is a pipe. One loop
 * serves all relays; a sink that does not read stops the source and nothing is buffered for it.
 *
 * @throws Error with code EBADF, EINVAL (no pipe, stream socket or terminal), EAGAIN (no thread), EMFILE; the descriptors
 *   are closed then. TypeError, RangeError for what is no descriptor, or one for both ends; nothing is closed then.
 */
export function startRelay(options: RelayOptions): Relay {
  return new Relay(options);
}

export class Relay {
  /** Settles when the last byte is handed over and the sink's write side is shut down; never rejects. */
  readonly ended: Promise<RelayResult>;
  /** Settles when the descriptors are closed, at most `lingerMs` after `ended`; never rejects. */
  readonly closed: Promise<void>;
  readonly #native: NativeRelay;
  #hasEnded = false;

  constructor(options: RelayOptions) {
    const ended = Promise.withResolvers<RelayResult>();
    const closed = Promise.withResolvers<void>();
    this.ended = ended.promise;
    this.closed = closed.promise;
    const flags =
      (options.shutdownSink ? 1 : 0) +
      (options.shutdownSource ? 2 : 0) +
      (options.discardAfterSinkError ? 4 : 0);
    const onEvent = (kind: number, reasonIndex: number, errno: number) => {
      const code = errno === 0 ? undefined : binding.systemError("relay", errno).code;
      switch (kinds[kind]) {
        case "end": {
          const reason = reasons[reasonIndex];
          if (reason === undefined) throw new AgentError("INTERNAL", `relay ended for reason ${reasonIndex}`);
          this.#hasEnded = true;
          ended.resolve({ bytes: this.bytes, reason, ...(code !== undefined && { code }) });
          return;
        }
        case "closed":
          closed.resolve();
          return;
        default:
          throw new AgentError("INTERNAL", `relay event ${kind} is unknown`);
      }
    };
    const sink = options.sink === "discard" ? null : options.sink;
    this.#native = new binding.Relay(options.source, sink, flags, options.lingerMs ?? 0, onEvent);
    if (options.keepsLoopAlive === false) this.#native.setKeepsLoopAlive(false);
  }

  /** Bytes the sink has taken so far. */
  get bytes(): number {
    return this.#native.bytes;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Ends and closes at once; bytes on their way are lost. No error when it has ended already. */
  cancel(): void {
    this.#native.cancel();
  }

  /**
   * The process behind the source has exited: go on until the end of file, or until the source has been silent
   * for `idleMs` (another process may hold it open), or, where that one never falls silent, until `limitMs` after
   * the last byte from before this call is handed over.
   * What was in the source when drain() was called is never dropped, however slow the sink.
   */
  drain(options: { readonly idleMs?: number; readonly limitMs?: number } = {}): Promise<RelayResult> {
    this.#native.drain(options.idleMs ?? defaultDrainIdleMs, options.limitMs ?? defaultDrainLimitMs);
    return this.ended;
  }

  setKeepsLoopAlive(on: boolean): void {
    this.#native.setKeepsLoopAlive(on);
  }
}
