import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { withDeadline } from "../../common/deadline.ts";
import { AgentError, describeError } from "../../common/errors.ts";
import { programFile } from "../../common/installation.ts";
import { nodeFlags } from "../../common/node-flags.ts";
import { processEnd } from "../uvm/process-end.ts";
import { KeeperHandle } from "./keeper-handle.ts";
import { readRecord } from "./keeper-record.ts";
import { limits } from "./limits.ts";
import { keepersDirectory } from "./paths.ts";

const KEEPER = programFile("src/hcs/serve/keeper");

/** The processes that keep systems, and which keeps what. */
export class Keepers {
  readonly #parent: string;
  /** By the ids of what they keep. */
  readonly #keepers = new Map<string, KeeperHandle>();
  /** Those that have gone and left what could not be removed. */
  readonly #remains = new Set<KeeperHandle>();

  constructor(stateDirectory: string) {
    this.#parent = keepersDirectory(stateDirectory);
  }

  /** Finds those that an earlier service has left running, and removes what dead ones left. */
  async find(): Promise<void> {
    const names = await readdir(this.#parent);
    await Promise.all(names.map((name) => this.#find(new KeeperHandle(join(this.#parent, name)))));
  }

  /** @throws AgentError SYSTEM_NOT_FOUND */
  keeperOf(id: string): KeeperHandle {
    const keeper = this.#keepers.get(id);
    if (keeper !== undefined) return keeper;
    throw new AgentError("SYSTEM_NOT_FOUND", `system ${id} does not exist`);
  }

  has(id: string): boolean {
    return this.#keepers.has(id);
  }

  add(id: string, keeper: KeeperHandle): void {
    this.#keepers.set(id, keeper);
  }

  forget(id: string): void {
    this.#keepers.delete(id);
  }

  /** Forgets a system that its keeper has removed by itself. */
  async look(id: string): Promise<void> {
    const keeper = this.keeperOf(id);
    if ((await keeper.ask(limits.keeperListMs)) === "gone") await this.lost(keeper);
    else if (!(await readRecord(keeper.directory))?.systems.some(({ Id }) => Id === id)) this.forget(id);
  }

  get all(): KeeperHandle[] {
    return [...new Set(this.#keepers.values())];
  }

  /**
   * Kills the keeper, and with it what it keeps, and removes what is left.
   * @throws AgentError HELPER_FAILED naming what could not be removed, which sweep() tries again
   */
  async bury(keeper: KeeperHandle): Promise<void> {
    for (const [id, other] of this.#keepers) if (other === keeper) this.#keepers.delete(id);
    this.#remains.add(keeper);
    await keeper.bury();
    this.#remains.delete(keeper);
  }

  /** Nobody serves at the keeper's socket any more. One that still tells its last words is let end by itself. */
  async lost(keeper: KeeperHandle): Promise<void> {
    if ((await keeper.findProcess()) === undefined) await this.#clean(keeper);
    else for (const [id, other] of this.#keepers) if (other === keeper) this.#keepers.delete(id);
  }

  /** Tries again to remove what could not be removed before. */
  async sweep(): Promise<void> {
    await Promise.all([...this.#remains].map((keeper) => this.#clean(keeper)));
  }

  /** One that is stopped is known by its record. */
  async #find(keeper: KeeperHandle): Promise<void> {
    if ((await keeper.ask(limits.keeperListMs)) === "gone" && (await keeper.findProcess()) === undefined) {
      await this.#clean(keeper);
      return;
    }
    const record = await readRecord(keeper.directory);
    if (record?.systems.length === 0) {
      // Whoever started it was gone before it knew what for.
      await this.#clean(keeper);
      return;
    }
    for (const { Id } of record?.systems ?? []) this.#keepers.set(Id, keeper);
    const isIt = async () => (await keeper.findProcess()) !== undefined;
    if (record !== undefined) this.#watch(keeper, processEnd(record.pid, isIt));
  }

  #watch(keeper: KeeperHandle, ended: Promise<void>): void {
    // One that cannot be watched is found to be lost by the next call.
    ended.then(() => this.#onEnd(keeper)).catch((error: unknown) => console.error(describeError(error)));
  }

  async #onEnd(keeper: KeeperHandle): Promise<void> {
    // It had nothing left to keep.
    if (!existsSync(keeper.directory)) return;
    const { systems = [] } = (await readRecord(keeper.directory)) ?? {};
    for (const { Id } of systems) console.error(`system ${Id} is gone: its keeper has ended`);
    await this.#clean(keeper);
  }

  /** What cannot be removed is told to who serves. */
  async #clean(keeper: KeeperHandle): Promise<void> {
    await this.bury(keeper).catch((error: unknown) => console.error(describeError(error)));
  }

  /** Starts a new keeper, which keeps nothing yet. @throws AgentError SPAWN_FAILED */
  async start(): Promise<KeeperHandle> {
    const directory = join(this.#parent, randomBytes(8).toString("hex"));
    await mkdir(directory, { mode: 0o700 });
    const logFile = join(directory, "keeper.log");
    const log = openSync(logFile, "ax", 0o600);
    const { NODE_OPTIONS: _, ...environment } = process.env;
    // A session of its own: it lives on when this process does not.
    const child = spawn(process.execPath, [...nodeFlags, KEEPER, directory], {
      detached: true,
      stdio: ["ignore", "pipe", log],
      cwd: "/",
      env: environment,
    });
    closeSync(log);
    const ready = Promise.withResolvers<void>();
    child.stdout?.once("data", () => ready.resolve());
    child.once("error", ready.reject);
    const ended = Promise.withResolvers<void>();
    child.once("exit", (code, signal) => {
      ready.reject(new Error(`it ended with ${signal ?? code}`));
      ended.resolve();
    });
    try {
      await withDeadline(ready.promise, "its start", { timeoutMs: limits.keeperStartMs });
    } catch (cause) {
      child.kill("SIGKILL");
      const said = await readFile(logFile, "utf8").catch(() => "");
      await rm(directory, { recursive: true, force: true });
      throw new AgentError("SPAWN_FAILED", `no keeper for the system could be started: ${said.trim()}`, {
        cause,
      });
    }
    child.stdout?.destroy();
    child.unref();
    const keeper = new KeeperHandle(directory);
    this.#watch(keeper, ended.promise);
    return keeper;
  }
}
