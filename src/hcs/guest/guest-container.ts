import { AgentError } from "../../common/errors.ts";
import type { OciProcess } from "../../protocol/schemas/oci.ts";
import type { Properties } from "../../protocol/schemas/properties.ts";
import { GuestProcess, type ProcessHost } from "./guest-process.ts";
import type { RequestOptions } from "./pending-request.ts";
import type { WantedStreams } from "./stdio-channels.ts";

export interface ContainerProcessOptions extends WantedStreams, RequestOptions {
  /** A further process in the running container; absent, the container's init is started. */
  readonly process?: OciProcess;
  /** The process has a terminal; then there is no stderr of its own. Must agree with the spec. Default false. */
  readonly terminal?: boolean;
}

export interface GuestProcessList {
  /** In the utility VM's pid namespace; the first of them where the guest's reply has no room for all. */
  readonly pids: readonly number[];
  /** How many there are. */
  readonly count: number;
}

/** A container in the guest. Every method throws AgentError TRANSPORT_CLOSED once the guest is gone. */
export class GuestContainer {
  readonly id: string;
  /**
   * Settles when the guest notifies that init has ended, with how: "GracefulExit" when asked to, "ForcedExit" when
   * forced to, "UnexpectedExit" by itself; after the answers to those who wait for init. Rejects with TRANSPORT_CLOSED when the guest is gone first.
   */
  readonly exited: Promise<string>;
  readonly #host: ProcessHost;

  constructor(id: string, host: ProcessHost, exited: Promise<string>) {
    this.id = id;
    this.#host = host;
    this.exited = exited;
  }

  /** Acknowledged by the guest; init starts with the first createProcess(). */
  async start(options: RequestOptions = {}): Promise<void> {
    await this.#host.bridge.request("Start", { ContainerId: this.id }, options);
  }

  /** @throws AgentError INVALID_ARGUMENT, INVALID_STATE, or why the program could not be started */
  async createProcess(options: ContainerProcessOptions = {}): Promise<GuestProcess> {
    const { process, terminal = process?.terminal === true } = options;
    if (terminal && options.stderr === true) {
      throw new AgentError("INVALID_ARGUMENT", "a process with a terminal has no stderr; leave stderr out");
    }
    const parameters = {
      ...(terminal && { EmulateConsole: true }),
      ...(process !== undefined && { OciProcess: { ...process, ...(terminal && { terminal: true }) } }),
    };
    return await GuestProcess.create(this.#host, this.id, parameters, options, options);
  }

  /** Asks init to end: SIGTERM. Its end is told by `exited`. @throws AgentError SYSTEM_NOT_FOUND, SYSTEM_ALREADY_STOPPED */
  async shutdown(options: RequestOptions = {}): Promise<void> {
    await this.#host.bridge.request("ShutdownGraceful", { ContainerId: this.id }, options);
  }

  /** Ends init: SIGKILL. @throws AgentError SYSTEM_NOT_FOUND, SYSTEM_ALREADY_STOPPED */
  async terminate(options: RequestOptions = {}): Promise<void> {
    await this.#host.bridge.request("ShutdownForced", { ContainerId: this.id }, options);
  }

  async processList(options: RequestOptions = {}): Promise<GuestProcessList> {
    const { ProcessList = [], ProcessCount } = await this.#properties("ProcessList", options);
    return { pids: ProcessList.map(({ ProcessId }) => ProcessId), count: ProcessCount ?? ProcessList.length };
  }

  /** What the cgroup has used; names as in containerd's cgroup metrics, integers beyond 2^53 are bigints. */
  async statistics(options: RequestOptions = {}): Promise<NonNullable<Properties["LCOWMetrics"]>> {
    return (await this.#properties("Statistics", options)).LCOWMetrics ?? {};
  }

  /** Changes the limits. @param resources OCI linux.resources */
  async update(resources: Record<string, unknown>, options: RequestOptions = {}): Promise<void> {
    const request = {
      ResourceType: "ContainerConstraints" as const,
      RequestType: "Update" as const,
      Settings: { Linux: resources },
    };
    await this.#host.bridge.request("ModifySettings", { ContainerId: this.id, Request: request }, options);
  }

  /**
   * Freezes its processes; see GuestConnection.canPause.
   * @throws AgentError INVALID_STATE when it does not run or is paused already, RUNTIME_FAILED
   */
  async pause(options: RequestOptions = {}): Promise<void> {
    await this.#setExecutionState("Paused", options);
  }

  /** Thaws them. @throws AgentError INVALID_STATE when it does not run or is not paused, RUNTIME_FAILED */
  async resume(options: RequestOptions = {}): Promise<void> {
    await this.#setExecutionState("Running", options);
  }

  /** Lets the guest forget the stopped container. @throws AgentError SYSTEM_NOT_FOUND, INVALID_STATE */
  async deleteState(options: RequestOptions = {}): Promise<void> {
    await this.#host.bridge.request("DeleteContainerState", { ContainerId: this.id }, options);
  }

  async #setExecutionState(State: "Paused" | "Running", options: RequestOptions): Promise<void> {
    const request = {
      ResourceType: "ContainerExecutionState" as const,
      RequestType: "Update" as const,
      Settings: { State },
    };
    await this.#host.bridge.request("ModifySettings", { ContainerId: this.id, Request: request }, options);
  }

  async #properties(type: "ProcessList" | "Statistics", options: RequestOptions): Promise<Properties> {
    const body = { ContainerId: this.id, Query: { PropertyTypes: [type] } };
    return (await this.#host.bridge.request("GetProperties", body, options)).Properties;
  }
}
