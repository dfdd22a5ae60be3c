import { writeFileSync } from "node:fs";
import { settlesWithin } from "../../common/deadline.ts";
import { AgentError } from "../../common/errors.ts";
import { stringifyJson } from "../../common/json.ts";
import type { Cgroup } from "../../linux/cgroups/cgroup.ts";
import type { CgroupStatistics } from "../../linux/cgroups/statistics.ts";
import { isZombie, readCommandLine } from "../../linux/proc.ts";
import { removeFile, removeFlatDirectory } from "../../linux/remove.ts";
import type { Supervisor } from "../../linux/supervisor.ts";
import { type ConnectionSet, closeConnections } from "../../stdio/connection-set.ts";
import type { Container, ContainerProcessState, ContainerState, OciProcess, Process } from "../runtime.ts";
import { deleteArguments, execArguments, plainArguments, updateArguments } from "./args.ts";
import { type BundleFacts, startSubjectOf } from "./bundle-facts.ts";
import type { RuntimeCommand } from "./command.ts";
import { type ExecFifo, releaseInit } from "./exec-fifo.ts";
import { RuncProcess } from "./process.ts";
import { signalAll } from "./signal-all.ts";
import { type StartedProcess, type StartFiles, startProcess } from "./start-process.ts";
import { parseState } from "./state.ts";
import { type Remains, removeRemains } from "./state-directory.ts";
import { Strays } from "./strays.ts";

export interface RuncContainerOptions {
  readonly id: string;
  readonly bundle: BundleFacts;
  readonly command: RuntimeCommand;
  readonly supervisor: Supervisor;
  /** Holds our files for this container; removed with it. */
  readonly directory: string;
  readonly init: StartedProcess;
  readonly cgroup: Cgroup | undefined;
  /** The same by the spec's path: in hierarchies, too, that it was made in and its processes are not. */
  readonly cgroupOfSpec: Cgroup | undefined;
  /** Undefined where only the runtime itself may start the container. */
  readonly execFifo: ExecFifo | undefined;
  /** Undefined where only the runtime itself may delete the container. */
  readonly remains: Remains | undefined;
  readonly deadlineMs: number;
  /** Its processes get neither AF_VSOCK nor io_uring. */
  readonly noHostSockets: boolean;
  readonly onDelete: () => void;
  readonly onError: (what: string, cause: unknown) => void;
}

const SIGKILL = 9;

/** How long a killed init is waited for, in milliseconds. */
const killedGraceMs = 10_000;

/** A container that this agent made; its init is our child, so most questions need no call of the runtime. */
export class RuncContainer implements Container {
  readonly id: string;
  readonly #options: RuncContainerOptions;
  readonly #init: RuncProcess;
  readonly #strays: Strays;
  /** Init and the processes brought in by exec, until they are deleted. */
  readonly #processes = new Set<RuncProcess>();
  #execs = 0;
  #started = false;
  #deleted = false;

  constructor(options: RuncContainerOptions) {
    this.id = options.id;
    this.#options = options;
    // With a pid namespace of its own the kernel ends the rest with init; otherwise that is left to us.
    const onExit = options.bundle.ownsPidNamespace ? undefined : () => this.#killLeftovers();
    this.#init = this.#track(options.init, onExit);
    this.#strays = new Strays({ ...options, ownsPidNamespace: options.bundle.ownsPidNamespace });
  }

  get pid(): number {
    return this.#init.pid;
  }

  async exists(): Promise<boolean> {
    if (this.#deleted) return false;
    try {
      await this.getState();
      return true;
    } catch (error) {
      if (error instanceof AgentError && error.code === "CONTAINER_DOES_NOT_EXIST") return false;
      throw error;
    }
  }

  async start(stdio: ConnectionSet = {}): Promise<void> {
    try {
      this.#assertNotDeleted();
      if (this.#started) throw new AgentError("INVALID_STATE", `container ${this.id} was started before`);
    } catch (error) {
      closeConnections(stdio);
      throw error;
    }
    this.#started = true;
    this.#init.startRelay(stdio);
    if (!(await this.#startFast())) await this.#run(plainArguments("start", this.id));
  }

  async execProcess(process: OciProcess, stdio: ConnectionSet): Promise<Process> {
    const { command, supervisor, directory, deadlineMs, noHostSockets } = this.#options;
    const name = `exec-${++this.#execs}`;
    const file = `${directory}/${name}.json`;
    try {
      await this.#assertRunning();
      writeFileSync(file, stringifyJson(process), { mode: 0o600 });
    } catch (error) {
      closeConnections(stdio);
      // Of a full disk, a part of it.
      removeFile(file);
      throw error;
    }
    try {
      const start = {
        ...{ command, supervisor, directory, name, deadlineMs, noHostSockets },
        terminal: process.terminal === true,
        consoleSize: process.consoleSize,
        connections: stdio,
        starts: startSubjectOf(process),
        arguments: (files: StartFiles) => execArguments({ id: this.id, process: file, ...files }),
      };
      return this.#track(await this.#strays.watch(process.args ?? [], () => startProcess(start)));
    } catch (error) {
      throw this.#init.hasExited ? this.#notRunning(error) : error;
    } finally {
      // It holds the process's environment.
      removeFile(file);
    }
  }

  async kill(signal: number, options: { all?: boolean } = {}): Promise<void> {
    const { cgroup } = this.#options;
    this.#assertNotDeleted();
    if (options.all && cgroup) {
      // What init left behind can be killed when init is gone.
      if (this.#init.hasExited && (await cgroup.processes()).length === 0) await this.#assertRunning();
      await signalAll(cgroup, signal);
      return;
    }
    if (!this.#init.signal(signal)) {
      await this.#assertRunning();
      // Exited, and its pidfd is about to tell.
      throw this.#notRunning();
    }
    // Frozen processes of cgroup v1 die only once they are thawed.
    if (signal === SIGKILL && cgroup?.isFrozen()) cgroup.thaw();
  }

  async pause(): Promise<void> {
    await this.#assertRunning();
    await this.#run(plainArguments("pause", this.id));
  }

  async resume(): Promise<void> {
    await this.#assertRunning();
    await this.#run(plainArguments("resume", this.id));
  }

  async getState(): Promise<ContainerState> {
    this.#assertNotDeleted();
    const state = parseState(await this.#run(plainArguments("state", this.id)));
    return this.#init.hasExited ? { ...state, pid: 0, status: "stopped" } : state;
  }

  async getRunningProcesses(): Promise<ContainerProcessState[]> {
    const ours = this.#livingPids();
    const states: ContainerProcessState[] = [];
    for (const pid of await this.#runningPids()) {
      const command = await readCommandLine(pid);
      // Gone since the cgroup was read, or about to be.
      if (command === undefined || (command.length === 0 && isZombie(pid))) continue;
      states.push({ pid, command, createdByRuntime: ours.has(pid), isZombie: false });
    }
    return states;
  }

  async getAllProcesses(): Promise<ContainerProcessState[]> {
    const states = await this.getRunningProcesses();
    const zombies = this.#zombiesBeside(new Set(states.map((state) => state.pid)));
    return [
      ...states,
      ...zombies.map((pid) => ({ pid, command: [], createdByRuntime: true, isZombie: true })),
    ];
  }

  async getProcessIds(): Promise<number[]> {
    const pids = await this.#runningPids();
    return [...pids, ...this.#zombiesBeside(new Set(pids))];
  }

  getStatistics(): CgroupStatistics {
    const { cgroup } = this.#options;
    if (!cgroup) throw new AgentError("CGROUP_UNAVAILABLE", `container ${this.id} has no cgroup of its own`);
    return cgroup.statistics();
  }

  getInitProcess(): RuncProcess {
    return this.#init;
  }

  async update(resources: object): Promise<void> {
    this.#assertNotDeleted();
    const file = `${this.#options.directory}/update-${++this.#execs}.json`;
    try {
      writeFileSync(file, stringifyJson(resources), { mode: 0o600 });
      await this.#run(updateArguments(this.id, file));
    } finally {
      removeFile(file);
    }
  }

  async delete(options: { force?: boolean } = {}): Promise<void> {
    this.#assertNotDeleted();
    // The runtime would wait for the death of those it kills; they are ours, so we know.
    if (options.force && !this.#init.hasExited) {
      await this.kill(SIGKILL, { all: true });
      // One that sits in the kernel is the runtime's to complain about.
      await settlesWithin(this.#init.exited, killedGraceMs);
    }
    // With a pid namespace of its own nothing of it is left; but whatever sits in its cgroup would keep that for ever.
    if (this.#init.hasExited) await this.#killLeftovers();
    try {
      if (!(await this.#deleteFast())) await this.#run(deleteArguments(this.id, options.force));
    } catch (error) {
      // Deleted by others: then our part of it goes too.
      if (error instanceof AgentError && error.code === "CONTAINER_DOES_NOT_EXIST")
        await this.#forget(options);
      throw error;
    }
    await this.#forget(options);
  }

  /** @returns false when it takes the runtime's own `delete`. */
  async #deleteFast(): Promise<boolean> {
    const { remains } = this.#options;
    return remains !== undefined && this.#init.hasExited && removeRemains(remains);
  }

  /** Each step can be done again: a deletion that failed midway is finished by the next. */
  async #forget({ force = false }: { force?: boolean }): Promise<void> {
    const { cgroup, cgroupOfSpec, directory, onDelete } = this.#options;
    for (const process of [...this.#processes]) await (force ? process.delete() : process.deleteDelivered());
    await cgroup?.remove();
    await cgroupOfSpec?.remove();
    removeFlatDirectory(directory);
    this.#deleted = true;
    onDelete();
  }

  #track(started: StartedProcess, onExit?: () => Promise<void>): RuncProcess {
    const process: RuncProcess = new RuncProcess({
      ...started,
      ...(onExit ? { onExit } : {}),
      onError: this.#options.onError,
      onDelete: () => this.#processes.delete(process),
    });
    this.#processes.add(process);
    return process;
  }

  /** Of the processes that this runtime made. */
  #livingPids(): Set<number> {
    return new Set([...this.#processes].filter((process) => !process.hasExited).map(({ pid }) => pid));
  }

  async #runningPids(): Promise<number[]> {
    return (await this.#options.cgroup?.processes()) ?? [...this.#livingPids()];
  }

  /** Those that this runtime made and has not reaped yet; a cgroup no longer lists them. */
  #zombiesBeside(listed: ReadonlySet<number>): number[] {
    return [...this.#livingPids()].filter((pid) => !listed.has(pid) && isZombie(pid));
  }

  async #killLeftovers(): Promise<void> {
    const { cgroup, onError } = this.#options;
    try {
      if (cgroup && (await cgroup.processes()).length > 0) await signalAll(cgroup, SIGKILL);
    } catch (error) {
      onError(`kill what container ${this.id} left behind`, error);
    }
  }

  /** @returns false when it takes the runtime's own `start`. */
  async #startFast(): Promise<boolean> {
    const { execFifo } = this.#options;
    if (execFifo === undefined || this.#init.hasExited) return false;
    const initExited = new AbortController();
    void this.#init.exited.then(() => initExited.abort());
    return releaseInit(execFifo, initExited.signal);
  }

  #run(args: string[]): Promise<string> {
    const { command, directory, deadlineMs } = this.#options;
    return command.run(args, { directory, deadlineMs });
  }

  #assertNotDeleted(): void {
    if (this.#deleted)
      throw new AgentError("CONTAINER_DOES_NOT_EXIST", `container ${this.id} was deleted and does not exist`);
  }

  /** Others may have deleted a stopped container; that takes a call, which only the failing case pays for. */
  async #assertRunning(): Promise<void> {
    this.#assertNotDeleted();
    if (!this.#init.hasExited) return;
    await this.getState();
    throw this.#notRunning();
  }

  #notRunning(cause?: unknown): AgentError {
    return new AgentError(
      "CONTAINER_NOT_RUNNING",
      `container ${this.id} is not running: its init process has exited`,
      { cause },
    );
  }
}
