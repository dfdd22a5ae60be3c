import * as v from "valibot";
import { withDeadline } from "../../common/deadline.ts";
import { AgentError } from "../../common/errors.ts";
import type { CallOptions } from "../compute/cow.ts";
import type {
  MappedVirtualDiskController,
  ProcessListItem,
  ResourceModificationRequestResponse,
  Statistics,
} from "../compute/documents/schema1.ts";
import { parseStrictly } from "../compute/documents/strict.ts";
import { ErrTimeout, ErrVmcomputeOperationPending } from "../compute/error-codes.ts";
import { HcsError, isTimeout } from "../compute/errors.ts";
import type { System } from "../compute/system.ts";
import { ContainerError, containerError, forContainer } from "./errors.ts";
import { Process } from "./process.ts";
import { checkProcessConfig, type ProcessConfig } from "./process-config.ts";

const networkSettings = v.looseObject({ EndpointId: v.pipe(v.string(), v.minLength(1)) });

/** A container and its utility VM; hcsshim's Container. Every method throws ContainerError. */
export class Container {
  readonly id: string;
  readonly #system: System;

  /** For createContainer and openContainer. */
  constructor(system: System) {
    this.#system = system;
    this.id = system.id;
  }

  /** Boots the VM and makes the container ready for its first process, which will be its init. */
  async start(options: CallOptions = {}): Promise<void> {
    await forContainer(this, () => this.#system.start(options));
  }

  /** Asks for the end. @throws ContainerError ErrVmcomputeOperationPending always: wait() tells when it has ended */
  async shutdown(options: CallOptions = {}): Promise<never> {
    await forContainer(this, () => this.#system.shutdown(options));
    throw containerError(this, "Shutdown", ErrVmcomputeOperationPending);
  }

  /** Forces the end. @throws ContainerError ErrVmcomputeOperationPending always: wait() tells when it has ended */
  async terminate(options: CallOptions = {}): Promise<never> {
    await forContainer(this, () => this.#system.terminate(options));
    throw containerError(this, "Terminate", ErrVmcomputeOperationPending);
  }

  /** Waits for the end. @throws ContainerError when it was unexpected, or how it was will never be known */
  async wait(options: CallOptions = {}): Promise<void> {
    await forContainer(this, async () => {
      await this.#system.wait(options);
      const error = this.#system.exitError();
      if (error !== undefined) throw error;
    });
  }

  /** @param timeoutMs milliseconds @throws ContainerError ErrTimeout while it still runs */
  async waitTimeout(timeoutMs: number, options: CallOptions = {}): Promise<void> {
    try {
      await withDeadline(this.wait(options), "the wait", { timeoutMs });
    } catch (thrown) {
      if (thrown instanceof HcsError || !isTimeout(thrown)) throw thrown;
      throw containerError(this, "Wait", ErrTimeout);
    }
  }

  async pause(options: CallOptions = {}): Promise<void> {
    await forContainer(this, () => this.#system.pause(options));
  }

  async resume(options: CallOptions = {}): Promise<void> {
    await forContainer(this, () => this.#system.resume(options));
  }

  /** False: Linux containers have no updates. */
  async hasPendingUpdates(): Promise<boolean> {
    return false;
  }

  async statistics(options: CallOptions = {}): Promise<Statistics> {
    const { Statistics } = await forContainer(this, () => this.#system.properties(["Statistics"], options));
    return present(Statistics, "Statistics");
  }

  async processList(options: CallOptions = {}): Promise<readonly ProcessListItem[]> {
    const { ProcessList } = await forContainer(this, () => this.#system.properties(["ProcessList"], options));
    return present(ProcessList, "ProcessList");
  }

  /** By number of the SCSI controller. */
  async mappedVirtualDisks(
    options: CallOptions = {},
  ): Promise<Readonly<Record<number, MappedVirtualDiskController>>> {
    const properties = await forContainer(this, () =>
      this.#system.properties(["MappedVirtualDisk"], options),
    );
    return properties.MappedVirtualDiskControllers ?? {};
  }

  /** The first one is the container's init: the container ends with it. */
  async createProcess(config: ProcessConfig, options: CallOptions = {}): Promise<Process> {
    return await forContainer(this, async () => {
      return new Process(await this.#system.createProcess(this.#checked(config), options));
    });
  }

  /** Another handle to a process created in this container. @throws ContainerError ErrElementNotFound */
  async openProcess(pid: number): Promise<Process> {
    return await forContainer(this, async () => new Process(await this.#system.openProcess(pid)));
  }

  /** Adds or removes a network adapter, where the driver can. Settings: `{ EndpointId, MacAddress }`. */
  async modify(config: ResourceModificationRequestResponse, options: CallOptions = {}): Promise<void> {
    const { ResourceType, Settings, RequestType = "Add" } = config;
    if (ResourceType !== "Network" || (RequestType !== "Add" && RequestType !== "Remove")) {
      const message = `${RequestType} ${ResourceType}: only networks can be added and removed`;
      throw new ContainerError(this, "hcs::System::Modify", new AgentError("NOT_SUPPORTED", message));
    }
    await forContainer(this, async () => {
      const { EndpointId } = this.#parsed(Settings);
      const ResourcePath = `VirtualMachine/Devices/NetworkAdapters/${EndpointId}`;
      await this.#system.modify({ ResourcePath, RequestType, Settings }, options);
    });
  }

  /** Gives up the handle; the container lives on, unless its config said otherwise. Twice is fine. */
  async close(): Promise<void> {
    await forContainer(this, () => this.#system.close());
  }

  /** For `await using`: close(). */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #parsed(settings: unknown): { EndpointId: string } {
    try {
      return parseStrictly(networkSettings, settings, "Settings");
    } catch (thrown) {
      throw new ContainerError(this, "hcs::System::Modify", thrown);
    }
  }

  #checked(config: ProcessConfig) {
    try {
      return checkProcessConfig(config);
    } catch (thrown) {
      throw new ContainerError(this, "hcs::System::CreateProcess", thrown);
    }
  }
}

function present<T>(value: T | undefined, name: string): T {
  if (value !== undefined) return value;
  throw new AgentError("INTERNAL", `the compute service left out ${name}`);
}
