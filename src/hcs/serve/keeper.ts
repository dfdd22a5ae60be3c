/**
 * Keeps one utility VM with its containers, in a process of its own, so that they outlive the service: it serves
 * what the service passes on, on a socket in its own directory. Started by keepers.ts; says "ready" on standard
 * output.
 */

import { rm } from "node:fs/promises";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { within } from "../../common/deadline.ts";
import { AgentError, describeError } from "../../common/errors.ts";
import type { PropertyTypeV1 } from "../compute/documents/schema1.ts";
import type {
  ModifySettingRequest,
  ProcessParameters,
  PropertyTypeV2,
} from "../compute/documents/schema2.ts";
import { QemuDriver } from "../compute/drivers/qemu-driver.ts";
import { ComputeService } from "../compute/service.ts";
import type { AgentRecord } from "../uvm/local/agent-record.ts";
import type { BootStage } from "../uvm/qemu/qemu-uvm.ts";
import { BootStages } from "./boot-stages.ts";
import { parseCreateRequest } from "./create-request.ts";
import { listen, readBody, reply, switchProtocols } from "./http.ts";
import { writeRecord } from "./keeper-record.ts";
import { KeptSystem } from "./kept-system.ts";
import { KnownSecrets } from "./known-secrets.ts";
import { limits } from "./limits.ts";
import { logQuery, sendLog } from "./log-response.ts";
import { keeperSocket } from "./paths.ts";
import { pathParts } from "./system-name.ts";

class Keeper {
  readonly #directory: string;
  readonly #stages = new BootStages();
  readonly #onStage = (stage: BootStage, ms: number) => this.#stages.reached(stage, ms);
  readonly #service = new ComputeService({ driver: new QemuDriver({ onStage: this.#onStage }) });
  readonly #systems = new Map<string, KeptSystem>();
  /** Those that may have left something; what of one has ended by itself is found to be gone. */
  readonly #agents: AgentRecord[] = [];
  readonly #secrets = new KnownSecrets();
  #logs = 0;
  #server: Server | undefined;
  #ending = false;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async serve(): Promise<void> {
    this.#note();
    this.#server = await listen(keeperSocket(this.#directory), {
      request: (request, response, url) => this.#request(request, response, url),
      upgrade: (request, socket, url) => this.#upgrade(request, socket, url),
    });
    setTimeout(() => {
      if (this.#systems.size === 0) void this.#end();
    }, limits.keeperUnusedMs);
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => void this.#end());
  }

  async #request(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const [, id, part = "", pid, action = ""] = pathParts(url);
    const method = request.method ?? "GET";
    // Read to its end, whatever the answer: who still sends takes an early one for a lost connection.
    const body = await readBody(request);
    this.#secrets.note(body);
    if (url.pathname === "/alive") {
      reply(response, 200, {});
      return;
    }
    const abort = new AbortController();
    response.once("close", () => abort.abort(new AgentError("ABORTED", "the caller has gone")));
    const { signal } = abort;
    if (id === undefined) {
      if (method === "POST") reply(response, 201, await this.#create(body, signal));
      else reply(response, 200, await this.#list());
      return;
    }
    const kept = this.#find(id);
    if (part === "logs" && method === "GET") {
      return await sendLog(kept.readLog(logQuery(url.searchParams), signal), response);
    }
    if (part === "alive") {
      reply(response, 200, {});
      return;
    }
    if (part === "stages" && method === "GET") return await this.#stages.send(response);
    if (part === "processes" && pid !== undefined) {
      reply(response, 200, await this.#processCall(kept, Number(pid), `${method} ${action}`, body, signal));
      return;
    }
    reply(response, 200, await this.#systemCall(kept, `${method} ${part}`, body, url, signal));
    if (method === "DELETE" && this.#systems.size === 0) await this.#end();
  }

  async #upgrade(_request: IncomingMessage, socket: Duplex, url: URL): Promise<void> {
    const [, id = "", part, pid, action] = pathParts(url);
    if (part !== "processes" || action !== "attach") throw new AgentError("NOT_SUPPORTED", "attach only");
    const kept = this.#find(id);
    kept.process(Number(pid)).expectStreams();
    switchProtocols(socket);
    await kept.attach(Number(pid), socket);
  }

  async #create(body: Record<string, unknown>, signal: AbortSignal) {
    try {
      const onAgent = (agent: AgentRecord) => {
        this.#agents.push(agent);
        this.#note();
      };
      const request = parseCreateRequest(body, { onStage: this.#onStage, onAgent });
      const kept = await KeptSystem.create(this.#service, {
        ...request,
        logPath: join(this.#directory, `${this.#logs++}.log`),
      });
      if (signal.aborted) {
        // Who asked was told that it had failed, or is no more.
        await kept.remove(true);
        throw signal.reason;
      }
      this.#systems.set(kept.system.id, kept);
      try {
        this.#writeRecord();
      } catch (error) {
        // A service that starts anew would not find it.
        this.#systems.delete(kept.system.id);
        await kept.remove(true);
        throw error;
      }
      if (request.removeAtEnd) void kept.ended.then(() => this.#removeEnded(kept));
      return { ...(await kept.system.properties()), ...kept.properties };
    } finally {
      if (this.#systems.size === 0) setImmediate(() => void this.#end());
    }
  }

  /** Nobody need ask for it; who is being told of its end is told all. */
  async #removeEnded(kept: KeptSystem): Promise<void> {
    if (this.#systems.get(kept.system.id) !== kept) return;
    this.#systems.delete(kept.system.id);
    this.#note();
    // What could not be removed is tried again at this process's end, and then by the service.
    await kept.close().catch((error: unknown) => console.error(describeError(error)));
    if (this.#systems.size > 0) return;
    const closed = Promise.withResolvers<void>();
    this.#server?.close(() => closed.resolve());
    await within(closed.promise, limits.lastWordsMs);
    await this.#end();
  }

  async #list() {
    return await Promise.all(
      [...this.#systems.values()].map(async (kept) => ({
        ...(await kept.system.propertiesV2()),
        ...kept.properties,
      })),
    );
  }

  async #systemCall(
    kept: KeptSystem,
    call: string,
    body: Record<string, unknown>,
    url: URL,
    signal: AbortSignal,
  ) {
    const { system } = kept;
    // These do not wait for an answer of the guest, or for as long as it takes.
    switch (call) {
      case "DELETE ":
        await kept.remove(url.searchParams.get("force") === "1");
        this.#systems.delete(system.id);
        this.#note();
        return {};
      case "GET wait":
        await kept.wait({ signal });
        return { ...(await system.properties()), ...kept.properties };
      case "GET processes":
        return kept.processes;
      case "GET diagnostics":
        return {
          ...kept.request,
          ...this.#service.machineOf(system.id)?.lastOutput?.(),
          secrets: this.#secrets.all,
        };
      case "GET stacks":
        return { stacks: await this.#stacks(system.id, signal) };
      case "POST terminate":
        return await system.terminate({ signal });
      default:
        if (call === "GET " && url.searchParams.size === 0)
          return await this.#guestCall(kept, call, body, url, signal);
        return await kept.answered(signal, (limited) => this.#guestCall(kept, call, body, url, limited));
    }
  }

  async #stacks(id: string, signal: AbortSignal): Promise<string> {
    const guest = this.#service.guestOf(id);
    if (guest !== undefined) return await guest.dumpStacks({ timeoutMs: limits.stacksMs, signal });
    throw new AgentError("INVALID_STATE", `system ${id} has no guest to ask: it does not run, or is paused`);
  }

  /** What the guest must answer. */
  async #guestCall(
    kept: KeptSystem,
    call: string,
    body: Record<string, unknown>,
    url: URL,
    signal: AbortSignal,
  ) {
    const { system } = kept;
    switch (call) {
      case "GET ": {
        const list = (name: string) =>
          (url.searchParams.get(name) ?? "").split(",").filter((type) => type !== "");
        const v2 = await system.propertiesV2(list("v2") as PropertyTypeV2[], { signal });
        const v1 = await system.properties(list("v1") as PropertyTypeV1[], { signal });
        return { ...v1, ...v2, ...kept.properties };
      }
      case "POST processes": {
        const { parameters = {}, attach = false } = body;
        const options = { attach: attach === true, signal };
        return { pid: await kept.createProcess(parameters as ProcessParameters, options) };
      }
      case "POST start": {
        const { attach = false } = body;
        return { pid: await kept.start({ attach: attach === true, signal }) };
      }
      case "POST shutdown":
        return await system.shutdown({ signal });
      case "POST pause":
        return await system.pause({ signal });
      case "POST resume":
        return await system.resume({ signal });
      case "POST save":
        return await system.save({ ...body, signal });
      case "POST modify":
        return await system.modify(body as ModifySettingRequest, { signal });
      default:
        throw new AgentError("NOT_SUPPORTED", `there is no call ${call}`);
    }
  }

  async #processCall(
    kept: KeptSystem,
    pid: number,
    call: string,
    body: Record<string, unknown>,
    signal: AbortSignal,
  ): Promise<unknown> {
    const { process, exitCode } = kept.process(pid);
    switch (call) {
      case "GET wait":
        return { exitCode: exitCode ?? (await process.wait({ signal })) };
      case "POST signal":
        if (exitCode !== undefined) return { delivered: false };
        return { delivered: await kept.signal(pid, Number(body.signal), signal) };
      case "POST resize":
        return await kept.answered(signal, (limited) =>
          process.resizeConsole(Number(body.width), Number(body.height), { signal: limited }),
        );
      default:
        throw new AgentError("NOT_SUPPORTED", `a process has no call ${call}`);
    }
  }

  #find(id: string): KeptSystem {
    const kept = this.#systems.get(id);
    if (kept !== undefined) return kept;
    throw new AgentError("SYSTEM_NOT_FOUND", `system ${id} does not exist`);
  }

  /** The record is needed only when this process is lost or stopped: no reason to end what it keeps. */
  #note(): void {
    try {
      this.#writeRecord();
    } catch (error) {
      console.error(describeError(error));
    }
  }

  /** For the service. @throws AgentError SYSTEM_CALL_FAILED */
  #writeRecord(): void {
    const systems = [...this.#systems.values()].map((kept) => kept.summary);
    writeRecord(this.#directory, { pid: process.pid, systems, agents: this.#agents });
  }

  /** Nothing is left to keep, or the end is wanted. */
  async #end(): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    try {
      await this.#service.close();
      await rm(this.#directory, { recursive: true, force: true });
    } catch (error) {
      // The service cleans up after a keeper that has gone.
      console.error("the end was not clean", error);
    }
    process.exit(0);
  }
}

const [, , directory] = process.argv;
if (directory === undefined) throw new AgentError("INVALID_ARGUMENT", "usage: keeper.ts DIRECTORY");
process.on("unhandledRejection", (error) => console.error("a promise was rejected and nobody looked", error));
await new Keeper(directory).serve();
process.stdout.write("ready\n");
