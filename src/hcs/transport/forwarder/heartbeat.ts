/** Between questions, while the guest is silent. */
const INTERVAL_MS = 5_000;
/** So many in a row without a sign of life, each after a turn of the event loop: 30 s, or a little more. */
const MISSED = 6;

export interface HeartbeatOptions {
  /** Milliseconds; default 5000. */
  readonly intervalMs?: number | undefined;
}

/**
 * Asks a peer for a sign of life again and again. Counts questions instead of looking at a clock: when this very
 * process was stopped for a while, that is no fault of the peer's.
 */
export class Heartbeat {
  readonly #ask: () => void;
  readonly #onSilence: (seconds: number) => void;
  readonly #intervalMs: number;
  #timer: NodeJS.Timeout | undefined;
  #missed = 0;
  #isSuspended = false;

  constructor(ask: () => void, onSilence: (seconds: number) => void, options: HeartbeatOptions = {}) {
    this.#ask = ask;
    this.#onSilence = onSilence;
    this.#intervalMs = options.intervalMs ?? INTERVAL_MS;
  }

  start(): void {
    this.#timer ??= setInterval(() => this.#tick(), this.#intervalMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** The peer is known to be halted, or runs again. */
  suspend(isSuspended: boolean): void {
    this.#isSuspended = isSuspended;
    this.#missed = 0;
  }

  /** The peer has sent something, or taken what was kept for it. */
  noteLife(): void {
    this.#missed = 0;
  }

  #tick(): void {
    if (this.#isSuspended) return;
    if (this.#missed === MISSED) {
      this.stop();
      this.#onSilence((MISSED * this.#intervalMs) / 1000);
      return;
    }
    this.#missed++;
    this.#ask();
  }
}
