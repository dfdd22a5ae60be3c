import type { Duplex } from "node:stream";
import { AgentError } from "../../errors.ts";
import type { Process } from "../compute/process.ts";
import type { ProcessParameters } from "../compute/schema2.ts";
import type { System } from "../compute/system.ts";
import { attachProcess } from "./attach.ts";
import { ProcessLog } from "./process-log.ts";

/** How long the output of an attached process may wait for who is to read it. */
const ATTACH_TIMEOUT_MS = 30_000;

/** How many processes that have ended `lcow ps --all` can show, beside init. */
const REMEMBERED_PROCESSES = 100;

export interface ProcessSummary {
  readonly pid: number;
  readonly init: boolean;
  /** As it was asked for; empty for an OCI process that only its specification describes. */
  readonly command: string;
  /** Absent while it runs, and when it will never be known. */
  readonly exitCode?: number;
}

interface KeptProcess {
  readonly process: Process;
  readonly init: boolean;
  readonly command: string;
  /** Somebody has or will have its streams. */
  isAttached: boolean;
  timer: NodeJS.Timeout | undefined;
}

/** A system with what the service keeps of it: its processes, and what its init has written. */
export class KeptSystem {
  readonly system: System;
  readonly createdAt = Date.now();
  readonly #init: ProcessParameters | undefined;
  readonly #logPath: string;
  readonly #processes = new Map<number, KeptProcess>();
  #log: ProcessLog | undefined;

  /** @param init what start() starts as the container's init */
  constructor(system: System, logPath: string, init: ProcessParameters | undefined) {
    this.system = system;
    this.#logPath = logPath;
    this.#init = init;
  }

  get log(): ProcessLog | undefined {
    return this.#log;
  }

  get processes(): ProcessSummary[] {
    return [...this.#processes.values()].map(({ process, init, command }) => {
      const exitCode = exitCodeOf(process);
      return { pid: process.pid, init, command, ...(exitCode !== undefined && { exitCode }) };
    });
  }

  /** @returns init's pid, when there is one to start */
  async start(options: { attach: boolean; signal: AbortSignal }): Promise<number | undefined> {
    const { signal, attach } = options;
    await this.system.start({ signal });
    if (this.#init === undefined) return undefined;
    return await this.#create(this.#init, { init: true, attach });
  }

  async createProcess(parameters: ProcessParameters, options: { attach: boolean }): Promise<number> {
    return await this.#create(parameters, { init: false, ...options });
  }

  process(pid: number): Process {
    return this.#find(pid).process;
  }

  /** Gives a process's streams to who has connected. @throws AgentError INVALID_STATE when somebody has them */
  async attach(pid: number, connection: Duplex): Promise<void> {
    const kept = this.#find(pid);
    if (!kept.isAttached || kept.timer === undefined) {
      throw new AgentError("INVALID_STATE", `the streams of process ${pid} are not to be had`);
    }
    clearTimeout(kept.timer);
    kept.timer = undefined;
    if (kept.init) this.#keepLog(kept.process);
    await attachProcess(kept.process, connection);
    if (!kept.init) await kept.process.close();
  }

  async close(): Promise<void> {
    for (const { process, timer } of this.#processes.values()) {
      clearTimeout(timer);
      await process.close();
    }
    await this.system.close();
  }

  async #create(
    parameters: ProcessParameters,
    { init, attach }: { init: boolean; attach: boolean },
  ): Promise<number> {
    const process = await this.system.createProcess({
      ...parameters,
      CreateStdOutPipe: init || attach,
      CreateStdErrPipe: init || attach,
      CreateStdInPipe: attach && parameters.CreateStdInPipe === true,
    });
    const { CommandArgs, CommandLine, OCIProcess } = parameters;
    const command = CommandArgs?.join(" ") ?? CommandLine ?? OCIProcess?.args.join(" ") ?? "";
    const kept: KeptProcess = { process, init, command, isAttached: attach, timer: undefined };
    await this.#forgetOldest();
    this.#processes.set(process.pid, kept);
    if (attach) kept.timer = setTimeout(() => this.#onNobody(kept), ATTACH_TIMEOUT_MS);
    else if (init) this.#keepLog(process);
    return process.pid;
  }

  /** Of processes that have ended only the last ones are remembered. */
  async #forgetOldest(): Promise<void> {
    const ended = [...this.#processes.values()].filter(
      ({ process, init }) => !init && exitCodeOf(process) !== undefined,
    );
    for (const { process } of ended.slice(0, Math.max(0, ended.length - REMEMBERED_PROCESSES))) {
      this.#processes.delete(process.pid);
      await process.close();
    }
  }

  /** Who wanted the streams has not come for them. */
  #onNobody(kept: KeptProcess): void {
    kept.timer = undefined;
    kept.isAttached = false;
    kept.process.stdio().stdin?.end();
    if (kept.init) this.#keepLog(kept.process);
    else void kept.process.close();
  }

  #keepLog(process: Process): void {
    const { stdout, stderr } = process.stdio();
    this.#log = new ProcessLog(this.#logPath);
    this.#log.follow(stdout);
    this.#log.follow(stderr);
  }

  #find(pid: number): KeptProcess {
    const kept = this.#processes.get(pid);
    if (kept !== undefined) return kept;
    throw new AgentError("PROCESS_NOT_FOUND", `process ${pid} was not created in system ${this.system.id}`);
  }
}

function exitCodeOf(process: Process): number | undefined {
  try {
    return process.exitCode();
  } catch {
    // It runs, or nobody will ever know.
    return undefined;
  }
}
