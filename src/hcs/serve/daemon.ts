import { rm } from "node:fs/promises";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { AgentError } from "../../common/errors.ts";
import { callJson, isAbsent } from "./client.ts";
import { listen, readBody, readBytes, reply, switchProtocols } from "./http.ts";
import type { KeeperHandle } from "./keeper-handle.ts";
import { readRecord } from "./keeper-record.ts";
import { Keepers } from "./keepers.ts";
import { limits } from "./limits.ts";
import { request as httpRequest } from "./node-http.ts";
import { lockFile, prepareStateDirectory, serviceSocket } from "./paths.ts";
import { ServiceLock } from "./service-lock.ts";
import { checkSystemName, pathParts } from "./system-name.ts";

/**
 * The compute service as a daemon. It passes each call on to the keeper of the system that is meant, so systems run
 * on when it ends, and are found again when it starts.
 */
export class Daemon {
  readonly socketPath: string;
  readonly #keepers: Keepers;
  /** Ids whose systems are being created. */
  readonly #reserved = new Set<string>();
  readonly #lock: ServiceLock;
  #server: Server | undefined;

  /** @throws AgentError INVALID_STATE when another one runs, SYSTEM_CALL_FAILED */
  static async start(stateDirectory: string): Promise<Daemon> {
    await prepareStateDirectory(stateDirectory);
    const lock = await ServiceLock.take(lockFile(stateDirectory));
    const daemon = new Daemon(stateDirectory, lock);
    try {
      await daemon.#keepers.find();
      daemon.#server = await listen(daemon.socketPath, {
        request: (request, response, url) => daemon.#request(request, response, url),
        upgrade: (request, socket, url) => daemon.#upgrade(request, socket, url),
      });
      return daemon;
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  private constructor(stateDirectory: string, lock: ServiceLock) {
    this.#lock = lock;
    this.socketPath = serviceSocket(stateDirectory);
    this.#keepers = new Keepers(stateDirectory);
  }

  /** Stops serving; the systems run on. */
  async close(): Promise<void> {
    this.#server?.close();
    this.#server?.closeAllConnections();
    await rm(this.socketPath, { force: true });
    await this.#lock.release();
  }

  async #request(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const [root, id = ""] = pathParts(url);
    if (root === "alive") {
      reply(response, 200, {});
      return;
    }
    if (root !== "systems") throw new AgentError("NOT_SUPPORTED", `there is nothing at ${url.pathname}`);
    if (id !== "") {
      if (request.method === "DELETE") await this.#delete(request, response, id, url);
      else await this.#pass(request, response, id);
    } else if (request.method === "POST") {
      reply(response, 201, await this.#create(await readBody(request)));
    } else if (request.method === "GET") {
      reply(response, 200, await this.#list());
    } else {
      throw new AgentError("NOT_SUPPORTED", `there is no call ${request.method} ${url.pathname}`);
    }
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, url: URL): Promise<void> {
    const [, id = ""] = pathParts(url);
    const keeper = this.#keepers.keeperOf(id);
    await this.#asked(id, keeper, (signal) => passUpgrade(keeper.socket, request, socket, signal));
  }

  /** By force it is removed whatever its keeper does. */
  async #delete(request: IncomingMessage, response: ServerResponse, id: string, url: URL): Promise<void> {
    const keeper = this.#keepers.keeperOf(id);
    const isForced = url.searchParams.get("force") === "1";
    if (isForced && (await keeper.ask(limits.keeperListMs)) === "silent") {
      await this.#keepers.bury(keeper);
      reply(response, 200, {});
      return;
    }
    await this.#pass(request, response, id);
    if (response.statusCode === 200) this.#keepers.forget(id);
  }

  async #create(body: Record<string, unknown>): Promise<unknown> {
    const { id, document } = body;
    if (typeof id !== "string") throw new AgentError("INVALID_ARGUMENT", "the request has no id");
    checkSystemName(id);
    if (this.#keepers.has(id) && !this.#reserved.has(id)) await this.#keepers.look(id);
    if (this.#keepers.has(id) || this.#reserved.has(id)) {
      throw new AgentError("SYSTEM_ALREADY_EXISTS", `system ${id} exists already`);
    }
    this.#reserved.add(id);
    try {
      const host = (document as { HostingSystemId?: unknown } | null | undefined)?.HostingSystemId;
      const keeper = typeof host === "string" ? this.#keepers.keeperOf(host) : await this.#keepers.start();
      const created = await keeper.answered((signal) =>
        callJson(keeper.socket, "POST", "/systems", body, { signal }),
      );
      this.#keepers.add(id, keeper);
      return created;
    } finally {
      this.#reserved.delete(id);
    }
  }

  async #list(): Promise<unknown[]> {
    await this.#keepers.sweep();
    const lists = await Promise.all(this.#keepers.all.map((keeper) => this.#listOf(keeper)));
    return lists.flat();
  }

  /** One that does not answer in time is told from its record. */
  async #listOf(keeper: KeeperHandle): Promise<unknown[]> {
    try {
      const signal = AbortSignal.timeout(limits.keeperListMs);
      return (await callJson(keeper.socket, "GET", "/systems", undefined, { signal })) as unknown[];
    } catch (error) {
      if (isAbsent(error)) {
        await this.#keepers.lost(keeper);
        return [];
      }
      const record = await readRecord(keeper.directory);
      const NotAnsweringSince = new Date(keeper.lastHeard).toISOString();
      return (record?.systems ?? []).map((system) => ({ ...system, State: "Unknown", NotAnsweringSince }));
    }
  }

  /** Passes a call on to the keeper and its answer back, as they are. */
  async #pass(request: IncomingMessage, response: ServerResponse, id: string): Promise<void> {
    const keeper = this.#keepers.keeperOf(id);
    // Whole, so that it goes out in one write: there is nothing left to send to a keeper that answers at once.
    const body = await readBytes(request);
    await this.#asked(id, keeper, (signal) => passTo(keeper.socket, request, body, response, signal));
  }

  /** @throws AgentError TRANSPORT_CLOSED when the keeper is no more, TIMEOUT when it is silent */
  async #asked(id: string, keeper: KeeperHandle, run: (signal: AbortSignal) => Promise<void>): Promise<void> {
    try {
      await keeper.answered(run);
    } catch (cause) {
      if (!isAbsent(cause)) throw cause;
      await this.#keepers.lost(keeper);
      throw new AgentError("TRANSPORT_CLOSED", `system ${id} is gone: its keeper has ended`, { cause });
    }
  }
}

/** Settles when the keeper has answered. */
async function passUpgrade(
  socketPath: string,
  request: IncomingMessage,
  socket: Duplex,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const { url: path, headers } = request;
  const passed = httpRequest({ socketPath, path, headers, agent: false, signal });
  passed.once("upgrade", (_response, upstream, head) => {
    switchProtocols(socket);
    if (head.length > 0) socket.write(head);
    upstream.on("error", () => socket.destroy());
    upstream.once("close", () => socket.end());
    socket.once("close", () => upstream.destroy());
    upstream.pipe(socket);
    socket.pipe(upstream);
    resolve();
  });
  passed.once("response", (answer) => {
    const head = `HTTP/1.1 ${answer.statusCode} Failed\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n`;
    socket.write(head);
    answer.pipe(socket);
    resolve();
  });
  passed.once("error", (cause) => reject(keeperHasEnded(cause)));
  socket.once("close", () => passed.destroy());
  passed.end();
  await promise;
}

function keeperHasEnded(cause: Error): AgentError {
  return new AgentError("TRANSPORT_CLOSED", "the keeper of the system has ended", { cause });
}

/** Settles when the whole answer has been passed on, or the caller has gone. */
async function passTo(
  socketPath: string,
  request: IncomingMessage,
  body: Buffer,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const { method, url: path, headers } = request;
  const passed = httpRequest({ socketPath, method, path, headers, agent: false, signal }, (answer) => {
    response.writeHead(answer.statusCode ?? 500, answer.headers);
    response.flushHeaders();
    answer.pipe(response);
    answer.once("error", () => response.destroy());
    response.once("close", resolve);
  });
  passed.once("error", (cause) => reject(keeperHasEnded(cause)));
  // The caller has gone: so has the reason to wait.
  response.once("close", () => passed.destroy());
  passed.end(body.length === 0 ? undefined : body);
  await promise;
}
