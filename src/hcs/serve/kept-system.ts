import { constants } from "node:os";
import type { Duplex } from "node:stream";
import { settlesWithin, withDeadline } from "../../common/deadline.ts";
import { AgentError, describeError, type ErrorCode } from "../../common/errors.ts";
import type { ProcessParameters } from "../compute/documents/schema2.ts";
import type { ComputeService } from "../compute/service.ts";
import type { System } from "../compute/system.ts";
import type { CreateRequest } from "./create-request.ts";
import { describeSilence, Heartbeat } from "./heartbeat.ts";
import { KeptProcess, type ProcessSummary } from "./kept-process.ts";
import { limits } from "./limits.ts";
import { type LogPiece, type LogQuery, readLog } from "./log-reader.ts";
import { ProcessLog } from "./process-log.ts";

/** How many processes that have ended `lcow ps --all` can show, beside init. */
const REMEMBERED_PROCESSES = 100;

export interface KeptSystemOptions extends CreateRequest {
  readonly logPath: string;
}

/** What the service knows of a system beside what HCS tells. */
export interface KeptProperties {
  readonly State?: string;
  readonly CreatedAt: string;
  readonly Command: string;
  /** Init's. */
  readonly ExitCode?: number;
  /** Why the last start failed. */
  readonly StartError?: { readonly code: ErrorCode; readonly message: string };
  /** Of init: it has a terminal, and standard input. */
  readonly Terminal?: true;
  readonly OpenStdin?: true;
  /** Present while its guest does not answer: when it last did. */
  readonly NotAnsweringSince?: string;
  /** Bytes of output that the log has not, since it could not be written. */
  readonly LogBytesLost?: number;
}

/** A system with what the service keeps of it: its processes, and what its init has written. */
export class KeptSystem {
  readonly createdAt = Date.now();
  readonly #service: ComputeService;
  readonly #options: KeptSystemOptions;
  readonly #log: ProcessLog;
  readonly #processes = new Map<number, KeptProcess>();
  readonly #ended = Promise.withResolvers<void>();
  #system: System;
  readonly #heartbeat: Heartbeat;
  #isStarting = false;
  #startError: unknown;

  static async create(service: ComputeService, options: KeptSystemOptions): Promise<KeptSystem> {
    return new KeptSystem(
      service,
      await service.createComputeSystem(options.id, options.document, options.options),
      options,
    );
  }

  private constructor(service: ComputeService, system: System, options: KeptSystemOptions) {
    this.#service = service;
    this.#system = system;
    this.#options = options;
    this.#log = new ProcessLog(options.logPath);
    this.#heartbeat = new Heartbeat(
      () => service.guestOf(options.id),
      (since) => this.#tellClients(since),
    );
  }

  /** Settles when it has run and ended, and its output is written. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  get system(): System {
    return this.#system;
  }

  get processes(): ProcessSummary[] {
    return [...this.#processes.values()].map(({ summary }) => summary);
  }

  /** What it was made of, as it was asked for: with the secrets that are in it. */
  get request() {
    const { document, init, machine } = this.#options;
    return { document, init, machine };
  }

  /** What can be told of it when nobody answers. */
  get summary() {
    const { id, document } = this.#options;
    const { Owner, HostingSystemId, Container } = document as {
      readonly [Name in "Owner" | "HostingSystemId"]?: string;
    } & { readonly Container?: unknown };
    const { CreatedAt, Command } = this.properties;
    return {
      Id: id,
      SystemType: Container === undefined && HostingSystemId === undefined ? "VirtualMachine" : "Container",
      ...(Owner !== undefined && { Owner }),
      ...(HostingSystemId !== undefined && { HostingSystemId }),
      CreatedAt,
      Command,
    };
  }

  /** To be put over what HCS tells: a container whose command has not started does not run. */
  get properties(): KeptProperties {
    const init = this.#init;
    const { lostBytes } = this.#log;
    const { silentSince } = this.#heartbeat;
    const isEarly = this.#options.init !== undefined && init === undefined && !this.#hasEnded;
    return {
      ...(isEarly && { State: "Created" }),
      CreatedAt: new Date(this.createdAt).toISOString(),
      Command: init?.summary.command ?? commandOf(this.#options.init),
      ...(init?.exitCode !== undefined && { ExitCode: init.exitCode }),
      ...(this.#startError !== undefined && { StartError: startErrorOf(this.#startError) }),
      ...(this.#options.init?.EmulateConsole === true && { Terminal: true }),
      ...(this.#options.init?.CreateStdInPipe === true && { OpenStdin: true }),
      ...(silentSince !== undefined && { NotAnsweringSince: new Date(silentSince).toISOString() }),
      ...(lostBytes > 0 && { LogBytesLost: lostBytes }),
    };
  }

  /**
   * Starts it, or starts it anew once it has stopped. When that fails it is created or stopped, and says why.
   * @returns init's pid, when there is one to start
   */
  async start(options: { attach: boolean; signal: AbortSignal }): Promise<number | undefined> {
    const { signal, attach } = options;
    const { init } = this.#options;
    const { State } = await this.#system.properties();
    if (this.#isStarting || State === "Running" || State === "Paused") {
      const is = this.#isStarting ? "being started" : State.toLowerCase();
      throw new AgentError("INVALID_STATE", `system ${this.#options.id} is ${is} already`);
    }
    this.#isStarting = true;
    this.#startError = undefined;
    try {
      if (State === "Stopped") await this.#remake();
      await this.#system.start({ signal });
      const pid = init === undefined ? undefined : await this.#create(init, { init: true, attach, signal });
      void this.#followToEnd(this.#system);
      return pid;
    } catch (error) {
      this.#startError = error;
      await this.#endFailed();
      throw error;
    } finally {
      this.#isStarting = false;
      this.#log.wake();
    }
  }

  /** @throws AgentError INVALID_STATE before init runs: a further process must not become the first */
  async createProcess(
    parameters: ProcessParameters,
    options: { attach: boolean; signal: AbortSignal },
  ): Promise<number> {
    if (this.#options.init !== undefined && this.#init === undefined) {
      const why =
        this.#startError === undefined ? "" : `; its start failed: ${describeError(this.#startError)}`;
      const message = `the command of system ${this.#options.id} has not been started${why}`;
      throw new AgentError("INVALID_STATE", message);
    }
    return await this.#create(parameters, { init: false, ...options });
  }

  /** @throws AgentError PROCESS_NOT_FOUND */
  process(pid: number): KeptProcess {
    const kept = this.#processes.get(pid);
    if (kept !== undefined) return kept;
    throw new AgentError("PROCESS_NOT_FOUND", `process ${pid} was not created in system ${this.#options.id}`);
  }

  /** @returns whether it ran. SIGKILL for the container's init ends the machine when its guest does not answer */
  async signal(pid: number, signal: number, abort: AbortSignal): Promise<boolean> {
    const { process, init } = this.process(pid);
    if (!init || signal !== constants.signals.SIGKILL) {
      return await this.answered(abort, (limited) => process.signal(signal, { signal: limited }));
    }
    try {
      return await withDeadline(process.signal(signal), "SIGKILL", {
        timeoutMs: limits.forceMs,
        signal: abort,
      });
    } catch (error) {
      if (!(error instanceof AgentError && error.code === "TIMEOUT")) throw error;
      await this.#system.terminate({ signal: abort });
      return true;
    }
  }

  async attach(pid: number, connection: Duplex): Promise<void> {
    await this.process(pid).attach(connection);
  }

  readLog(query: LogQuery, signal: AbortSignal): AsyncGenerator<LogPiece> {
    return readLog(this.#log, query, () => this.#isLogged, signal);
  }

  /** Waits for its end, which has come where its start has failed. @throws what the start failed with */
  async wait(options: { signal: AbortSignal }): Promise<void> {
    if (this.#startError !== undefined) throw this.#startError;
    await this.#system.wait(options);
  }

  /** Runs a call that the guest must answer. @throws AgentError TIMEOUT when it is silent */
  async answered<T>(signal: AbortSignal, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return await this.#heartbeat.answered((silent) => run(AbortSignal.any([signal, silent])));
  }

  /**
   * Removes it with what is left of it. What failed is tried again by the next call.
   * @param force ends it first, should it run
   * @throws AgentError INVALID_STATE when it runs; what could not be removed
   */
  async remove(force: boolean): Promise<void> {
    if (!this.#hasEnded) {
      const { State } = { ...(await this.#system.properties()), ...this.properties };
      if (!force && (State === "Running" || State === "Paused")) {
        const message = `system ${this.#options.id} is ${State.toLowerCase()}; stop it first, or remove it by force`;
        throw new AgentError("INVALID_STATE", message);
      }
      await this.#system.terminate();
      // A container's guest tells of its end soon after the answer.
      await settlesWithin(
        this.#system.wait().catch(() => undefined),
        limits.forceMs,
      );
    }
    await this.close();
  }

  async close(): Promise<void> {
    await this.#closeProcesses();
    await this.#closeSystem();
    this.#heartbeat.close();
    await this.#log.close();
  }

  get #init(): KeptProcess | undefined {
    return [...this.#processes.values()].find(({ init }) => init);
  }

  get #hasEnded(): boolean {
    return this.#system.waitChannel.aborted;
  }

  /** Whether more may come into the log. */
  get #isLogged(): boolean {
    return this.#isStarting || this.#init?.isOutputOver === false;
  }

  async #create(
    parameters: ProcessParameters,
    { init, attach, signal }: { init: boolean; attach: boolean; signal: AbortSignal },
  ): Promise<number> {
    const process = await this.#system.createProcess(
      {
        ...parameters,
        CreateStdOutPipe: init || attach,
        CreateStdErrPipe: init || attach,
        // Init's stays open for who attaches later.
        CreateStdInPipe: (attach || init) && parameters.CreateStdInPipe === true,
      },
      { signal },
    );
    await this.#forgetOldest();
    const kept = new KeptProcess(process, {
      init,
      command: commandOf(parameters),
      awaitsClient: attach,
      sinks: init ? [this.#log] : [],
    });
    this.#processes.set(process.pid, kept);
    if (init) void kept.finished.then(() => this.#log.wake());
    return process.pid;
  }

  /** The system that has stopped gives way to another of the same document. */
  async #remake(): Promise<void> {
    const { id, document, init, options } = this.#options;
    if (init === undefined || (document as { HostingSystemId?: string }).HostingSystemId !== undefined) {
      throw new AgentError("SYSTEM_ALREADY_STOPPED", `system ${id} has stopped; create it anew`);
    }
    await this.#closeProcesses();
    this.#processes.clear();
    await this.#closeSystem();
    this.#system = await this.#service.createComputeSystem(id, document, options);
  }

  async #closeSystem(): Promise<void> {
    try {
      await this.#system.close();
    } catch (error) {
      // The handle is closed all the same, and the system is still to be told of and removed.
      this.#system = await this.#service.openComputeSystem(this.#options.id);
      throw error;
    }
  }

  async #followToEnd(system: System): Promise<void> {
    // However it ended, and if that is unknown: ended it has.
    await system.wait().catch(() => undefined);
    await this.#init?.finished;
    this.#ended.resolve();
  }

  /** What a start that failed has left half-way is ended. */
  async #endFailed(): Promise<void> {
    const { State } = await this.#system.properties();
    if (State === "Created" || State === "Stopped") return;
    // Its reason is the start's; that it could not be ended either adds nothing to it.
    await this.#system.terminate().catch(() => undefined);
  }

  async #closeProcesses(): Promise<void> {
    for (const kept of this.#processes.values()) await kept.close();
  }

  #tellClients(silentSince: number | undefined): void {
    const is = silentSince === undefined ? "answers again" : describeSilence(silentSince);
    for (const kept of this.#processes.values()) kept.note(`the guest of ${this.#options.id} ${is}`);
  }

  /** Of processes that have ended only the last ones are remembered. */
  async #forgetOldest(): Promise<void> {
    const ended = [...this.#processes.values()].filter(
      ({ init, exitCode }) => !init && exitCode !== undefined,
    );
    for (const kept of ended.slice(0, Math.max(0, ended.length - REMEMBERED_PROCESSES))) {
      this.#processes.delete(kept.process.pid);
      await kept.close();
    }
  }
}

function commandOf(parameters: ProcessParameters | undefined): string {
  const { CommandArgs, CommandLine, OCIProcess } = parameters ?? {};
  return CommandArgs?.join(" ") ?? CommandLine ?? OCIProcess?.args.join(" ") ?? "";
}

function startErrorOf(error: unknown): { code: ErrorCode; message: string } {
  return { code: error instanceof AgentError ? error.code : "INTERNAL", message: describeError(error) };
}
