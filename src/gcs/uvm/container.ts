/**
 * One container as the host sees it.
 *
 *   creating --created--> created --execute init--> starting --started--> running
 *   created, starting, running --init exited--> stopped --delete state--> (gone)
 *   starting --start failed--> stopped, and its init, which never ran the user's program, is killed
 *
 * An operation that does not fit the state is refused with INVALID_STATE (or, on a stopped one, by the runtime
 * with CONTAINER_NOT_RUNNING); none waits for another state.
 */
import { AgentError, describeError } from "../../common/errors.ts";
import type { Logger } from "../../common/log.ts";
import type { CgroupStatistics } from "../../linux/cgroups/statistics.ts";
import type { Container, OciProcess } from "../../runtime/runtime.ts";
import { connectStdio } from "../../stdio/connection-set.ts";
import type { StdioPorts, Transport } from "../../stdio/transport.ts";
import type { Bundle } from "./bundle.ts";
import { STDIO_DIAL } from "./dial.ts";
import { UvmProcess } from "./process.ts";
import { ProcessTable } from "./process-table.ts";
import { checkProcess, refuseProgram } from "./program.ts";
import { resolveUser } from "./users.ts";

export type ContainerStatus = "created" | "starting" | "running" | "stopped";
/** How init ended, as the exit notification says it. */
export type ExitType = "GracefulExit" | "ForcedExit" | "UnexpectedExit";

const SIGTERM = 15;
const SIGKILL = 9;

export interface ContainerParts {
  readonly container: Container;
  readonly bundle: Bundle;
  readonly initProcess: OciProcess;
  readonly rootPath: string;
  readonly transport: Transport;
  readonly log: Logger;
  /** Called once init has ended, its output is drained and those who waited for it were told. */
  readonly onExit: (exitType: ExitType) => void;
}

type User = OciProcess["user"];

/**
 * Hosts write uid and gid 0 where they mean nobody in particular. In a container whose user has a name that is this user,
 * as in the reference agent; root is asked for by name, or as "0".
 */
function userOfExec(user: User, ofContainer: User): User {
  const isNobody = !user?.username && !user?.uid && !user?.gid && !user?.additionalGids?.length;
  return isNobody && ofContainer?.username ? undefined : user;
}

export class UvmContainer {
  readonly id: string;
  readonly init: UvmProcess;
  readonly processes: ProcessTable;
  #status: ContainerStatus = "created";
  #exitType: ExitType = "UnexpectedExit";
  /** The deletion under way; whether it will have succeeded. */
  #deleting: Promise<boolean> | undefined;
  /** Why it could not be started. */
  #startFailure: string | undefined;
  readonly #parts: ContainerParts;

  constructor(parts: ContainerParts) {
    this.#parts = parts;
    this.id = parts.container.id;
    this.processes = new ProcessTable(`container ${this.id}`);
    this.init = new UvmProcess(parts.container.getInitProcess());
    this.processes.add(this.init);
    void this.init.finished.then(() => {
      const hadStarted = this.#status !== "created";
      this.#status = "stopped";
      // Its host has never been told that it runs, and takes a word of its end for one of a container it does not know.
      if (hadStarted || this.init.wasWaitedFor) parts.onExit(this.#exitType);
    });
  }

  get status(): ContainerStatus {
    return this.#status;
  }

  get runtimeContainer(): Container {
    return this.#parts.container;
  }

  /**
   * Lets init run, with its stdio on the host's ports. A port that cannot be dialled leaves the container
   * created, so that the host may try again; a start that fails ends it.
   * @returns init's pid.
   */
  async start(ports: StdioPorts): Promise<number> {
    this.#expect("created", "start");
    this.#status = "starting";
    const { container, transport } = this.#parts;
    let connections: Awaited<ReturnType<typeof connectStdio>>;
    try {
      connections = await connectStdio(transport, ports, STDIO_DIAL);
    } catch (error) {
      if (this.#status === "starting") this.#status = "created";
      throw error;
    }
    try {
      await container.start(connections);
      if (this.#status === "starting") this.#status = "running";
    } catch (error) {
      this.#status = "stopped";
      this.#startFailure = describeError(error);
      // Init was blocked before the user's program and will never run: end it, which tells the host too.
      container.getInitProcess().signal(SIGKILL);
      throw error;
    }
    return this.init.pid;
  }

  /** @returns the new process's pid. */
  async exec(process: OciProcess, ports: StdioPorts): Promise<number> {
    this.#expect("running", "execute a process");
    checkProcess(process);
    const { container, transport, initProcess, rootPath, log } = this.#parts;
    const prepared: OciProcess = {
      ...process,
      user: await resolveUser(userOfExec(process.user, initProcess.user), {
        fallback: initProcess.user,
        rootPath,
        warn: (err) => log.warn({ err, cid: this.id }, "a user's groups are unknown"),
      }),
      oomScoreAdj: process.oomScoreAdj ?? initProcess.oomScoreAdj ?? 0,
      // A core dump limit that was set on the container holds for what is executed in it, too.
      ...(initProcess.rlimits === undefined ? {} : { rlimits: initProcess.rlimits }),
    };
    // What the runtime gives it where it says nothing.
    await refuseProgram({ capabilities: initProcess.capabilities, ...prepared }, container.pid);
    const connections = await connectStdio(transport, ports, STDIO_DIAL);
    const executed = new UvmProcess(await container.execProcess(prepared, connections));
    this.processes.add(executed);
    this.#releaseDelivered(executed);
    return executed.pid;
  }

  /** Signals init: SIGTERM, or SIGKILL when not graceful. */
  async shutdown(graceful: boolean): Promise<void> {
    const before = this.#exitType;
    // Set before the signal: init may be gone before kill() returns.
    this.#exitType = graceful ? "GracefulExit" : "ForcedExit";
    try {
      await this.#parts.container.kill(graceful ? SIGTERM : SIGKILL);
    } catch (error) {
      this.#exitType = before;
      throw error;
    }
  }

  signalProcess(pid: number, signal: number): void {
    const process = this.processes.get(pid);
    const before = this.#exitType;
    if (process === this.init && signal === SIGTERM) this.#exitType = "GracefulExit";
    if (process === this.init && signal === SIGKILL) this.#exitType = "ForcedExit";
    try {
      process.signal(signal);
    } catch (error) {
      this.#exitType = before;
      throw error;
    }
  }

  /** What its cgroup has used, read now. @throws AgentError CGROUP_UNAVAILABLE */
  statistics(): CgroupStatistics {
    return this.#parts.container.getStatistics();
  }

  /** Freezes its processes. @throws AgentError INVALID_STATE when it does not run, CONTAINER_NOT_RUNNING, RUNTIME_FAILED */
  async pause(): Promise<void> {
    this.#expect("running", "pause");
    await this.#refuseIf("paused", this.#parts.container.pause());
  }

  /** Thaws them, whoever froze them. @throws as pause() */
  async resume(): Promise<void> {
    this.#expect("running", "resume");
    await this.#refuseIf("running", this.#parts.container.resume());
  }

  async update(resources: object): Promise<void> {
    await this.#parts.container.update(resources);
  }

  /**
   * Removes everything of a stopped container.
   * @param options.force kills it first; for the agent's own end.
   * @throws AgentError INVALID_STATE, CONTAINER_NOT_STOPPED
   */
  async delete(options: { force?: boolean } = {}): Promise<void> {
    if (this.#deleting !== undefined) {
      if (options.force !== true)
        throw new AgentError("INVALID_STATE", `container ${this.id} is being deleted`);
      // The agent must not end before it is done; where it fails, it is still to be done.
      if (await this.#deleting) return;
    }
    const deletion = this.#delete(options);
    this.#deleting = deletion.then(
      () => true,
      () => false,
    );
    try {
      await deletion;
    } finally {
      this.#deleting = undefined;
    }
  }

  async #delete(options: { force?: boolean }): Promise<void> {
    if (options.force !== true && this.#status !== "stopped" && this.#status !== "created") {
      throw new AgentError("INVALID_STATE", `container ${this.id} is ${this.#status}; shut it down first`);
    }
    const mayRun = options.force === true || this.#status === "created" || this.#startFailure !== undefined;
    await this.#deleteRuntimeContainer(mayRun ? { force: true } : {});
    if (mayRun) {
      for (const process of this.processes.running) await this.#release(process);
      await this.#release(this.init);
    } else {
      // As what was executed does anyway: a host that reads late loses nothing.
      this.#releaseDelivered(this.init);
    }
    await this.#parts.bundle.remove();
  }

  /** The runtime says of a paused container that it does not run; a host would take it for ended. */
  async #refuseIf(status: "paused" | "running", change: Promise<void>): Promise<void> {
    try {
      await change;
    } catch (cause) {
      const { status: now } = await this.#parts.container.getState();
      if (now !== status) throw cause;
      throw new AgentError("INVALID_STATE", `container ${this.id} is ${status} already`, { cause });
    }
  }

  async #deleteRuntimeContainer(options: { force?: boolean }): Promise<void> {
    try {
      await this.#parts.container.delete(options);
    } catch (error) {
      // Gone already, by whose hand ever: then the rest goes, too.
      if (!(error instanceof AgentError && error.code === "CONTAINER_DOES_NOT_EXIST")) throw error;
      this.#parts.log.warn({ err: error, cid: this.id }, "the runtime had no such container any more");
    }
  }

  async #release(process: UvmProcess): Promise<void> {
    try {
      await process.release();
    } catch (error) {
      this.#tellUnfreed(process, error);
    }
  }

  #releaseDelivered(process: UvmProcess): void {
    process.releaseDelivered().catch((error: unknown) => this.#tellUnfreed(process, error));
  }

  #tellUnfreed(process: UvmProcess, err: unknown): void {
    this.#parts.log.warn({ err, cid: this.id, pid: process.pid }, "could not free what a process held");
  }

  #expect(status: ContainerStatus, operation: string): void {
    if (this.#status === status && this.#deleting === undefined) return;
    const is = this.#deleting !== undefined ? "being deleted" : this.#status;
    const why = this.#startFailure === undefined ? "" : `, as it could not be started: ${this.#startFailure}`;
    throw new AgentError("INVALID_STATE", `container ${this.id} is ${is}; cannot ${operation}${why}`);
  }
}
