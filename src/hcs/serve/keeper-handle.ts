import { rm } from "node:fs/promises";
import { AgentError } from "../../common/errors.ts";
import { isGone, isProcessOf, removeAgent } from "../uvm/local/agent-record.ts";
import { callJson, isAbsent } from "./client.ts";
import { describeSilence } from "./heartbeat.ts";
import { readRecord } from "./keeper-record.ts";
import { limits } from "./limits.ts";
import { keeperSocket } from "./paths.ts";

/** A keeper, as the service knows it: watched while somebody waits for it, and cleaned up after when it is lost. */
export class KeeperHandle {
  readonly directory: string;
  readonly socket: string;
  readonly #waiting = new Set<AbortController>();
  #isWatched = false;
  #heard = Date.now();
  #burial: Promise<void> | undefined;

  constructor(directory: string) {
    this.directory = directory;
    this.socket = keeperSocket(directory);
  }

  /** When it last answered; milliseconds since 1970. */
  get lastHeard(): number {
    return this.#heard;
  }

  /** Waits for what the keeper must answer. @throws AgentError TIMEOUT once it is silent */
  async answered<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    const { signal } = controller;
    const { promise: silent, reject } = Promise.withResolvers<never>();
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    this.#waiting.add(controller);
    if (!this.#isWatched) void this.#watch();
    try {
      return await Promise.race([run(signal), silent]);
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

  /**
   * Kills it, with its VM, and removes what it would have: agents' containers, cgroups and mounts, and its directory.
   * @throws AgentError HELPER_FAILED naming what could not be removed
   */
  bury(): Promise<void> {
    this.#burial ??= this.#bury().finally(() => {
      this.#burial = undefined;
    });
    return this.#burial;
  }

  async #bury(): Promise<void> {
    const record = await readRecord(this.directory);
    if (record !== undefined) {
      const { pid, agents } = record;
      const isKeeper = () => isProcessOf(pid, this.directory);
      if (await isKeeper()) process.kill(pid, "SIGKILL");
      await isGone(isKeeper, limits.keeperSilenceMs);
      for (const agent of agents) await removeAgent(agent);
    }
    await rm(this.directory, { recursive: true, force: true });
  }

  async #watch(): Promise<void> {
    this.#isWatched = true;
    while (this.#waiting.size > 0) {
      if ((await this.ask(limits.keeperSilenceMs)) === "silent") {
        const message = `the keeper of the system ${describeSilence(this.#heard)}; it may be stopped or hang: \`lcow rm --force\` ends it`;
        const error = new AgentError("TIMEOUT", message);
        for (const controller of this.#waiting) controller.abort(error);
      }
      await new Promise((resolve) => setTimeout(resolve, limits.keeperHeartbeatMs).unref());
    }
    this.#isWatched = false;
  }
}
