/** A runtime without containers, which succeeds or fails as it is told. */
import { AgentError, type ErrorCode } from "../../../src/common/errors.ts";
import type { CgroupStatistics } from "../../../src/linux/cgroups/statistics.ts";
import type {
  Container,
  ContainerProcessState,
  ContainerState,
  CreateOptions,
  OciProcess,
  Process,
  Runtime,
} from "../../../src/runtime/runtime.ts";
import { type ConnectionSet, closeConnections } from "../../../src/stdio/connection-set.ts";
import type { TtyRelay } from "../../../src/stdio/tty-relay.ts";

/** What a runtime's calls come to: undefined is success. */
const FAILURES: readonly (ErrorCode | "defect" | undefined)[] = [
  undefined,
  undefined,
  undefined,
  undefined,
  "RUNTIME_FAILED",
  "HELPER_TIMEOUT",
  "CONTAINER_ALREADY_EXISTS",
  "CONTAINER_DOES_NOT_EXIST",
  "CONTAINER_NOT_RUNNING",
  "CONTAINER_NOT_STOPPED",
  "CGROUP_UNAVAILABLE",
  "defect",
];
export const OUTCOMES = FAILURES.length;

/** The outcomes of the calls, in order and then from the start again. */
export class Fate {
  readonly #outcomes: readonly number[];
  #at = 0;
  /** From here on all succeeds. */
  isKind = false;

  constructor(outcomes: readonly number[]) {
    this.#outcomes = outcomes;
  }

  /** @returns a number for what has several ways to go */
  next(): number {
    if (this.isKind || this.#outcomes.length === 0) return 0;
    return this.#outcomes[this.#at++ % this.#outcomes.length] ?? 0;
  }

  /** Some turns of the event loop later. @throws AgentError, or something that only a defect would throw */
  async call(what: string): Promise<void> {
    const outcome = this.next();
    for (let turns = outcome % 3; turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
    this.callNow(what, outcome);
  }

  callNow(what: string, outcome = this.next()): void {
    const failure = FAILURES[outcome % OUTCOMES];
    if (failure === "defect") throw new TypeError(`${what} met a defect`);
    if (failure !== undefined) throw new AgentError(failure, `${what} failed as it was told`);
  }
}

let lastPid = 10_000;

export class FakeProcess implements Process {
  readonly pid = ++lastPid;
  readonly exited: Promise<number>;
  readonly pipeRelay = undefined;
  readonly tty: TtyRelay | undefined;
  readonly #exit: (code: number) => void;
  hasExited = false;

  constructor(hasTerminal: boolean) {
    const { promise, resolve } = Promise.withResolvers<number>();
    this.exited = promise;
    this.#exit = resolve;
    // Of a terminal's relay the agent resizes only.
    this.tty = hasTerminal ? ({ resize() {} } as unknown as TtyRelay) : undefined;
  }

  exit(code: number): void {
    this.hasExited = true;
    this.#exit(code);
  }

  async wait(): Promise<number> {
    const code = await this.exited;
    // Its output is drained.
    await new Promise((resolve) => setImmediate(resolve));
    return code;
  }

  signal(signal: number): boolean {
    if (this.hasExited) return false;
    if (signal === 9 || signal === 15) setImmediate(() => this.exit(128 + signal));
    return true;
  }

  async delivered(): Promise<void> {}

  async delete(): Promise<void> {}
}

class FakeContainer implements Container {
  readonly id: string;
  /** Its root and namespaces are this very program's. */
  readonly pid = process.pid;
  readonly #bundle: string;
  readonly #init: FakeProcess;
  readonly #runtime: FakeRuntime;
  #isPaused = false;
  #hasStarted = false;

  constructor(id: string, bundle: string, runtime: FakeRuntime, init: FakeProcess) {
    this.id = id;
    this.#bundle = bundle;
    this.#runtime = runtime;
    this.#init = init;
  }

  async exists(): Promise<boolean> {
    return true;
  }

  async start(stdio: ConnectionSet = {}): Promise<void> {
    closeConnections(stdio);
    await this.#runtime.fate.call("start");
    this.#hasStarted = true;
  }

  async execProcess(process: OciProcess, stdio: ConnectionSet): Promise<Process> {
    closeConnections(stdio);
    await this.#runtime.fate.call("exec");
    return this.#runtime.startProcess(process.terminal === true);
  }

  async kill(signal: number): Promise<void> {
    await this.#runtime.fate.call("kill");
    if (!this.#init.signal(signal)) throw new AgentError("CONTAINER_NOT_RUNNING", "init has exited");
  }

  async pause(): Promise<void> {
    await this.#runtime.fate.call("pause");
    if (this.#isPaused) throw new AgentError("CONTAINER_NOT_RUNNING", "paused already");
    this.#isPaused = true;
  }

  async resume(): Promise<void> {
    await this.#runtime.fate.call("resume");
    this.#isPaused = false;
  }

  async getState(): Promise<ContainerState> {
    await this.#runtime.fate.call("state");
    const status = this.#isPaused ? "paused" : this.#hasStarted ? "running" : "created";
    return {
      id: this.id,
      pid: this.pid,
      status: this.#init.hasExited ? "stopped" : status,
      bundle: this.#bundle,
      rootfs: "/",
      created: "2020-01-01T00:00:00Z",
    };
  }

  async getRunningProcesses(): Promise<ContainerProcessState[]> {
    await this.#runtime.fate.call("ps");
    return [{ pid: this.#init.pid, command: ["\u001b[2J"], createdByRuntime: true, isZombie: false }];
  }

  getAllProcesses(): Promise<ContainerProcessState[]> {
    return this.getRunningProcesses();
  }

  async getProcessIds(): Promise<number[]> {
    await this.#runtime.fate.call("pids");
    return Array.from({ length: this.#runtime.fate.next() * 1000 }, (_, index) => index + 1);
  }

  getStatistics(): CgroupStatistics {
    this.#runtime.fate.callNow("statistics");
    return { pids: { current: 1n << 63n }, memory: { usage: { usage: 12 }, cache: 2n ** 64n - 1n } };
  }

  getInitProcess(): Process {
    return this.#init;
  }

  async update(): Promise<void> {
    await this.#runtime.fate.call("update");
  }

  async delete(options: { force?: boolean } = {}): Promise<void> {
    if (options.force !== true) {
      await this.#runtime.fate.call("delete");
      if (!this.#init.hasExited) throw new AgentError("CONTAINER_NOT_STOPPED", "init runs");
    }
    if (!this.#init.hasExited) this.#init.exit(137);
  }
}

export class FakeRuntime implements Runtime {
  readonly fate: Fate;
  readonly processes: FakeProcess[] = [];

  constructor(fate: Fate) {
    this.fate = fate;
  }

  startProcess(hasTerminal: boolean): FakeProcess {
    const process = new FakeProcess(hasTerminal);
    this.processes.push(process);
    return process;
  }

  async createContainer(id: string, bundle: string, options: CreateOptions = {}): Promise<Container> {
    await this.fate.call("create");
    return new FakeContainer(id, bundle, this, this.startProcess(options.spec?.process?.terminal === true));
  }

  async listContainerStates(): Promise<ContainerState[]> {
    return [];
  }
}
