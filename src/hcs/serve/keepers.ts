import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { withDeadline } from "../../common/deadline.ts";
import { AgentError, describeError } from "../../common/errors.ts";
import { programFile } from "../../common/installation.ts";
import { nodeFlags } from "../../common/node-flags.ts";
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
    if ((await keeper.ask(limits.keeperListMs)) === "gone") await this.bury(keeper);
    else if (!(await readRecord(keeper.directory))?.systems.some(({ Id }) => Id === id)) this.forget(id);
  }

  get all(): KeeperHandle[] {
    return [...new Set(this.#keepers.values())];
  }

  /** The keeper has died or is killed, and with it what it kept: removes what is left of it. */
  async bury(keeper: KeeperHandle): Promise<void> {
    await keeper.bury();
    for (const [id, other] of this.#keepers) if (other === keeper) this.#keepers.delete(id);
  }

  /** One that is stopped is known by its record. */
  async #find(keeper: KeeperHandle): Promise<void> {
    if ((await keeper.ask(limits.keeperListMs)) === "gone") {
      // What cannot be removed now is told, and tried again by the next service.
      await keeper.bury().catch((error: unknown) => console.error(describeError(error)));
      return;
    }
    const record = await readRecord(keeper.directory);
    for (const { Id } of record?.systems ?? []) this.#keepers.set(Id, keeper);
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
    child.once("exit", (code, signal) => ready.reject(new Error(`it ended with ${signal ?? code}`)));
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
    return new KeeperHandle(directory);
  }
}
