import { setTimeout as delay } from "node:timers/promises";
import { AgentError } from "../../common/errors.ts";
import { callJson, isAbsent } from "./client.ts";
import { describeSilence } from "./heartbeat.ts";
import { limits } from "./limits.ts";

/** A process that serves on a socket. While somebody waits for it, it is asked for a sign of life again and again. */
export class Peer {
  readonly socket: string;
  readonly #message: (silence: string) => string;
  readonly #waiting = new Set<AbortController>();
  #isWatched = false;
  #heard = Date.now();

  /** @param message what those are told who wait for it, of "has not answered since ..." */
  constructor(socket: string, message: (silence: string) => string) {
    this.socket = socket;
    this.#message = message;
  }

  /** When it last answered; milliseconds since 1970. */
  get lastHeard(): number {
    return this.#heard;
  }

  /** Waits for what it must answer. @throws AgentError TIMEOUT once it is silent */
  async answered<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    const { signal } = controller;
    const { promise: silent, reject } = Promise.withResolvers<never>();
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    // What `run` makes of the signal may come first, and says less.
    silent.catch(() => undefined);
    this.#waiting.add(controller);
    if (!this.#isWatched) void this.#watch();
    try {
      const answer = await Promise.race([silent, run(signal)]);
      this.#heard = Date.now();
      return answer;
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw error;
    } finally {
      this.#waiting.delete(controller);
    }
  }

  /** Whether it answers, does not, or is no more. */
  async ask(timeoutMs: number): Promise<"alive" | "silent" | "gone"> {
    try {
      await callJson(this.socket, "GET", "/alive", undefined, { signal: AbortSignal.timeout(timeoutMs) });
      this.#heard = Date.now();
      return "alive";
    } catch (error) {
      return isAbsent(error) ? "gone" : "silent";
    }
  }

  async #watch(): Promise<void> {
    this.#isWatched = true;
    while (this.#waiting.size > 0) {
      await delay(limits.peerHeartbeatMs, undefined, { ref: false });
      const begun = performance.now();
      if (this.#waiting.size === 0 || (await this.ask(limits.peerSilenceMs)) !== "silent") continue;
      // This process was stopped itself, and its time was over before it could look for the answer.
      if (performance.now() - begun > 2 * limits.peerSilenceMs) continue;
      const error = new AgentError("TIMEOUT", this.#message(describeSilence(this.#heard)));
      for (const controller of this.#waiting) controller.abort(error);
    }
    this.#isWatched = false;
  }
}
