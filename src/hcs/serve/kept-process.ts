import type { Duplex } from "node:stream";
import { settlesWithin } from "../../common/deadline.ts";
import { AgentError, describeError } from "../../common/errors.ts";
import type { Process } from "../compute/process.ts";
import { Client, type ExitMessage } from "./attach.ts";
import { limits } from "./limits.ts";
import { OutputPump, type OutputSink } from "./output-pump.ts";

export interface ProcessSummary {
  readonly pid: number;
  readonly init: boolean;
  /** As it was asked for; empty for an OCI process that only its specification describes. */
  readonly command: string;
  /** Absent while it runs, and when it will never be known. */
  readonly exitCode?: number;
}

export interface KeptProcessOptions {
  readonly init: boolean;
  readonly command: string;
  /** Somebody will come for the streams: nothing is read before. */
  readonly awaitsClient: boolean;
  /** What gets the output, whoever comes. */
  readonly sinks: readonly OutputSink[];
}

/** A process that the service keeps, with those that get its output. */
export class KeptProcess {
  readonly process: Process;
  readonly init: boolean;
  /** Settles when its output has ended and is written. */
  readonly finished: Promise<void>;
  readonly #command: string;
  readonly #sinks: readonly OutputSink[];
  readonly #clients = new Set<Client>();
  readonly #started = Promise.withResolvers<OutputPump>();
  #pump: OutputPump | undefined;
  #isOutputOver = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(process: Process, options: KeptProcessOptions) {
    this.process = process;
    this.init = options.init;
    this.#command = options.command;
    this.#sinks = options.sinks;
    this.finished = this.#started.promise
      .then((pump) => pump.finished)
      .then(() => {
        this.#isOutputOver = true;
      });
    if (options.awaitsClient) this.#timer = setTimeout(() => this.#onNobody(), limits.attachMs);
    else this.#start();
    // A further process whose streams are at their end is remembered for its exit code alone.
    if (!this.init) void this.#closeAtEnd();
  }

  get summary(): ProcessSummary {
    const { exitCode } = this;
    return {
      pid: this.process.pid,
      init: this.init,
      command: this.#command,
      ...(exitCode !== undefined && { exitCode }),
    };
  }

  get exitCode(): number | undefined {
    try {
      return this.process.exitCode();
    } catch {
      // It runs, or nobody will ever know.
      return undefined;
    }
  }

  get isOutputOver(): boolean {
    return this.#isOutputOver;
  }

  /** Tells everybody who is connected something. */
  note(text: string): void {
    for (const client of this.#clients) client.note(text);
  }

  /** @throws AgentError INVALID_STATE when there is nothing to connect to */
  expectStreams(): void {
    if (Object.keys(this.process.stdio()).length > 0) return;
    throw new AgentError("INVALID_STATE", `process ${this.process.pid} was started without streams`);
  }

  /** Connects somebody to the streams; settles when they have all of it and the exit, or have gone. */
  async attach(connection: Duplex): Promise<void> {
    const { stdin } = this.process.stdio();
    const isOwner = this.#timer !== undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const client = new Client(connection, stdin);
    this.#clients.add(client);
    const pump = this.#pump ?? this.#start(client);
    const leave = pump.add(client);
    const exit = await Promise.race([this.#exit(), client.gone.then(() => undefined)]);
    const cut = exit === undefined ? undefined : await Promise.race([this.#outputEnd(pump), client.gone]);
    leave();
    this.#clients.delete(client);
    if (exit === undefined && isOwner) stdin?.end();
    if (exit !== undefined) client.finish({ ...(typeof cut === "string" && { error: cut }), ...exit });
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.process.close();
  }

  #start(client?: OutputSink): OutputPump {
    const { stdout, stderr } = this.process.stdio();
    const streams = { ...(stdout && { stdout }), ...(stderr && { stderr }) };
    this.#pump = new OutputPump(streams, client === undefined ? this.#sinks : [...this.#sinks, client]);
    this.#started.resolve(this.#pump);
    return this.#pump;
  }

  /** Who wanted the streams has not come for them. */
  #onNobody(): void {
    this.#timer = undefined;
    this.process.stdio().stdin?.end();
    this.#start();
  }

  async #closeAtEnd(): Promise<void> {
    const pump = await this.#started.promise;
    await this.process.wait().catch(() => undefined);
    await this.#outputEnd(pump);
    await this.process.close();
  }

  async #exit(): Promise<ExitMessage> {
    try {
      return { exitCode: await this.process.wait() };
    } catch (error) {
      return { error: describeError(error) };
    }
  }

  /**
   * The guest ends a process's streams soon after its end, whatever holds them open. When nothing comes any more,
   * though everybody would take it, the rest will not come.
   * @returns why not all of it came
   */
  async #outputEnd(pump: OutputPump): Promise<string | undefined> {
    for (;;) {
      const { bytes } = pump;
      if (await settlesWithin(pump.finished, limits.outputStallMs)) return pump.cut;
      if (!pump.isHeldUp && pump.bytes === bytes) return "the rest of the output has not come";
    }
  }
}
