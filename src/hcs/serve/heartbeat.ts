import { AgentError } from "../../common/errors.ts";
import type { GuestConnection } from "../guest/guest-connection.ts";
import { limits } from "./limits.ts";

/** Watches whether a guest answers, and gives up what waits for one that does not. */
export class Heartbeat {
  readonly #guest: () => GuestConnection | undefined;
  readonly #onChange: (silentSince: number | undefined) => void;
  readonly #waiting = new Set<AbortController>();
  readonly #timer: NodeJS.Timeout;
  #askedAt: number | undefined;
  #lastTick = Date.now();
  #silentSince: number | undefined;

  /**
   * @param guest absent while there is nobody to ask
   * @param onChange told when it falls silent, and since when; and with undefined when it is heard again, which one that
   *   is ended is not
   */
  constructor(guest: () => GuestConnection | undefined, onChange: (silentSince: number | undefined) => void) {
    this.#guest = guest;
    this.#onChange = onChange;
    this.#timer = setInterval(() => this.#tick(), limits.heartbeatMs);
  }

  /** Milliseconds since 1970; absent while it answers. */
  get silentSince(): number | undefined {
    return this.#silentSince;
  }

  /** Waits for what needs the guest's answer. @throws AgentError TIMEOUT once the guest is silent */
  async answered<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#silentSince !== undefined) throw silence(this.#silentSince);
    const controller = new AbortController();
    const { signal } = controller;
    this.#waiting.add(controller);
    const { promise: silent, reject } = Promise.withResolvers<never>();
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    try {
      return await Promise.race([run(signal), silent]);
    } finally {
      this.#waiting.delete(controller);
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const now = Date.now();
    // This process was stopped itself, and may find the answer only now.
    const wasAway = now - this.#lastTick > 2 * limits.heartbeatMs;
    this.#lastTick = now;
    const guest = this.#guest();
    if (guest === undefined) {
      this.#askedAt = undefined;
      this.#silentSince = undefined;
      return;
    }
    if (this.#askedAt === undefined) {
      this.#ask(guest, now);
      return;
    }
    if (wasAway) this.#askedAt = now;
    const heard = guest.lastHeard ?? this.#askedAt;
    const isSilent = now - Math.max(heard, this.#askedAt) >= limits.guestSilenceMs;
    if (isSilent && this.#silentSince === undefined) this.#set(heard);
    if (!isSilent && this.#silentSince !== undefined && heard > this.#silentSince) this.#set(undefined);
  }

  #ask(guest: GuestConnection, now: number): void {
    this.#askedAt = now;
    const heard = () => {
      if (this.#guest() !== guest) return;
      this.#askedAt = undefined;
      if (this.#silentSince !== undefined) this.#set(undefined);
    };
    guest.dumpStacks({ timeoutMs: 0 }).then(heard, (error: unknown) => {
      // A refusal is a sign of life, the end of the connection is none.
      if (!(error instanceof AgentError && error.code === "TRANSPORT_CLOSED")) heard();
    });
  }

  #set(silentSince: number | undefined): void {
    this.#silentSince = silentSince;
    if (silentSince !== undefined) {
      for (const controller of this.#waiting) controller.abort(silence(silentSince));
    }
    this.#onChange(silentSince);
  }
}

/** "has not answered since 2026-11-25T04:30:12.000Z (35 seconds)" */
export function describeSilence(since: number): string {
  const seconds = Math.round((Date.now() - since) / 1000);
  return `has not answered since ${new Date(since).toISOString()} (${seconds} seconds)`;
}

function silence(since: number): AgentError {
  const message = `the guest ${describeSilence(since)}; it may be stopped or hang: \`lcow rm --force\` ends it`;
  return new AgentError("TIMEOUT", message);
}
