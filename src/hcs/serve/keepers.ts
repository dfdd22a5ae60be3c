import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AgentError } from "../../errors.ts";
import { nodeFlags } from "../../node-flags.ts";
import { callJson, isAbsent } from "./client.ts";
import { limits } from "./limits.ts";
import { keeperSocket, keepersDirectory } from "./paths.ts";

const ANSWER_TIMEOUT_MS = 10_000;
const KEEPER = fileURLToPath(new URL("keeper.ts", import.meta.url));

/** The processes that keep systems, and which keeps what. */
export class Keepers {
  readonly #parent: string;
  /** Keepers' sockets by the ids of what they keep. */
  readonly #sockets = new Map<string, string>();

  constructor(stateDirectory: string) {
    this.#parent = keepersDirectory(stateDirectory);
  }

  /** Finds those that an earlier service has left running, and removes what dead ones left. */
  async find(): Promise<void> {
    for (const name of await readdir(this.#parent)) {
      const directory = join(this.#parent, name);
      try {
        for (const id of await idsOf(keeperSocket(directory))) this.#sockets.set(id, keeperSocket(directory));
      } catch (error) {
        // Its VM went with it. One that is there and does not answer is left to who can look into it.
        if (isAbsent(error)) await rm(directory, { recursive: true, force: true });
      }
    }
  }

  /** @throws AgentError SYSTEM_NOT_FOUND */
  socketOf(id: string): string {
    const socket = this.#sockets.get(id);
    if (socket !== undefined) return socket;
    throw new AgentError("SYSTEM_NOT_FOUND", `system ${id} does not exist`);
  }

  has(id: string): boolean {
    return this.#sockets.has(id);
  }

  add(id: string, socket: string): void {
    this.#sockets.set(id, socket);
  }

  forget(id: string): void {
    this.#sockets.delete(id);
  }

  /** Forgets a system that its keeper has removed by itself. */
  async look(id: string): Promise<void> {
    const socket = this.socketOf(id);
    try {
      if (!(await idsOf(socket)).includes(id)) this.forget(id);
    } catch (error) {
      // One that does not answer has it still.
      if (isAbsent(error)) this.forgetSocket(socket);
    }
  }

  get sockets(): string[] {
    return [...new Set(this.#sockets.values())];
  }

  /** The keeper has died, and with it what it kept. */
  forgetSocket(socket: string): void {
    for (const [id, other] of this.#sockets) if (other === socket) this.#sockets.delete(id);
  }

  /** Starts a new keeper, which keeps nothing yet. @returns its socket @throws AgentError SPAWN_FAILED */
  async start(): Promise<string> {
    const directory = join(this.#parent, randomBytes(8).toString("hex"));
    await mkdir(directory, { mode: 0o700 });
    const logFile = join(directory, "keeper.log");
    const log = openSync(logFile, "wx", 0o600);
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
    const timer = setTimeout(() => ready.reject(new Error("it was not ready in time")), limits.keeperStartMs);
    try {
      await ready.promise;
    } catch (cause) {
      child.kill("SIGKILL");
      const said = await readFile(logFile, "utf8").catch(() => "");
      await rm(directory, { recursive: true, force: true });
      throw new AgentError("SPAWN_FAILED", `no keeper for the system could be started: ${said.trim()}`, {
        cause,
      });
    } finally {
      clearTimeout(timer);
    }
    child.stdout?.destroy();
    child.unref();
    return keeperSocket(directory);
  }
}

async function idsOf(socket: string): Promise<string[]> {
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  const systems = (await callJson(socket, "GET", "/systems", undefined, { signal })) as { Id: string }[];
  return systems.map(({ Id }) => Id);
}
