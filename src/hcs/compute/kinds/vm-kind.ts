import { AgentError } from "../../../common/errors.ts";
import { PROTOCOL_VERSION } from "../../../protocol/messages.ts";
import type { GuestProcess } from "../../guest/guest-process.ts";
import type { CallOptions } from "../cow.ts";
import type { VirtualMachineDocument } from "../documents/document-parts.ts";
import { checkModification } from "../documents/modify-request.ts";
import { type CheckedParameters, utilityVmProcess } from "../documents/process-parameters.ts";
import type { GuestConnectionInfo } from "../documents/schema1.ts";
import type { ModifySettingRequest, SaveOptions } from "../documents/schema2.ts";
import type { RunningVm, UtilityVmDriver } from "../drivers/driver.ts";
import { ScsiDisks } from "../drivers/scsi-disks.ts";
import {
  ErrNotSupported,
  ErrVmcomputeOperationInvalidState,
  ErrVmcomputeUnexpectedExit,
} from "../error-codes.ts";
import { coded } from "../errors.ts";
import type { ExitType, SystemKind } from "./system-kind.ts";

/** A guest that does not thaw its containers within this time is ended with them frozen. */
const THAW_TIMEOUT_MS = 2_000;
const MEBIBYTE = 1024 * 1024;
const MEMORY_PATH = "ComputeTopology/Memory/SizeInMB";

/** A container that the VM hosts, for when the VM can only be paused by freezing them. */
export interface Freezable {
  freeze(options: CallOptions): Promise<boolean>;
  thaw(options: CallOptions): Promise<void>;
}

/** A utility VM. */
export class VmKind implements SystemKind {
  readonly type = "VirtualMachine";
  readonly exited: Promise<ExitType>;
  /** Containers in it that have not ended. */
  readonly hosted = new Set<Freezable>();
  readonly #exit = Promise.withResolvers<ExitType>();
  readonly #id: string;
  readonly #document: VirtualMachineDocument;
  readonly #driver: UtilityVmDriver;
  readonly #disks: ScsiDisks;
  /** Those that pause() froze, rather than their own users. */
  readonly #frozen = new Set<Freezable>();
  readonly #abortStart = new AbortController();
  #memoryMB: number | undefined;
  #keepsLoopAlive = true;
  #vm: RunningVm | undefined;
  #ending: "GracefulExit" | "ForcedExit" | undefined;

  constructor(id: string, document: VirtualMachineDocument, driver: UtilityVmDriver) {
    driver.check(document);
    this.#id = id;
    this.#document = document;
    this.#driver = driver;
    this.#memoryMB = document.ComputeTopology?.Memory?.SizeInMB;
    this.#disks = new ScsiDisks(document);
    this.exited = this.#exit.promise;
    this.exited.catch(() => undefined);
  }

  get vm(): RunningVm | undefined {
    return this.#vm;
  }

  async start({ signal }: CallOptions): Promise<void> {
    const aborted = this.#abortStart.signal;
    const vm = await this.#driver.start(this.#id, this.#document, {
      signal: signal === undefined ? aborted : AbortSignal.any([signal, aborted]),
    });
    this.#vm = vm;
    this.setKeepsLoopAlive(this.#keepsLoopAlive);
    void vm.uvm.died.then((reason) => this.#onEnd(vm, reason));
    // Somebody wanted its end just when it came up.
    if (this.#ending !== undefined) await this.terminate();
  }

  async shutdown(_options: CallOptions): Promise<void> {
    const vm = this.#running();
    // As graceful as it gets; a force that came before stays one.
    this.#ending ??= "GracefulExit";
    vm.uvm.guest.shutdown();
  }

  async terminate(): Promise<void> {
    this.#ending = "ForcedExit";
    this.#abortStart.abort(new AgentError("ABORTED", "the system was terminated while it started"));
    // Without processors of their own to stop, containers are frozen, and frozen processes cannot be killed.
    if (this.#vm?.resume === undefined) {
      const signal = AbortSignal.timeout(THAW_TIMEOUT_MS);
      await Promise.allSettled([...this.hosted].map((container) => container.thaw({ signal })));
    }
    if (this.#vm !== undefined) await endMachine(this.#vm);
    this.#exit.resolve("ForcedExit");
  }

  async pause(options: CallOptions): Promise<void> {
    const vm = this.#running();
    if (vm.pause !== undefined) {
      await vm.pause(options);
      return;
    }
    try {
      for (const container of this.hosted) {
        if (await container.freeze(options)) this.#frozen.add(container);
      }
    } catch (cause) {
      await this.#thaw(options);
      throw cause;
    }
  }

  async resume(options: CallOptions): Promise<void> {
    const vm = this.#running();
    if (vm.resume !== undefined) await vm.resume(options);
    else await this.#thaw(options);
  }

  async save(options: SaveOptions & CallOptions): Promise<void> {
    const { save } = this.#running();
    if (save === undefined) {
      throw coded(ErrNotSupported, `the ${this.#driver.name} driver cannot save a virtual machine`);
    }
    await save(options);
  }

  async modify(request: ModifySettingRequest, options: CallOptions): Promise<void> {
    const { path, type, settings, guest } = checkModification(request);
    const vm = this.#running();
    const changeGuest = async () => {
      if (guest !== undefined) await vm.uvm.guest.modify(guest, options);
    };
    if (path === undefined) {
      await changeGuest();
      return;
    }
    const [, below] = /^VirtualMachine\/(.+)$/.exec(path) ?? [];
    if (below === undefined || vm.modify === undefined) {
      throw coded(ErrNotSupported, `${path}: the ${this.#driver.name} driver cannot change this`);
    }
    const change = { path: below, type, settings };
    // The guest lets go of a device before it is gone, and finds it only when it is there.
    if (type === "Remove") await changeGuest();
    await vm.modify(change, options);
    this.#disks.modified(change);
    if (below === MEMORY_PATH) this.#memoryMB = Number(settings);
    if (type === "Remove") return;
    try {
      await changeGuest();
    } catch (cause) {
      if (type === "Add") {
        await vm.modify({ ...change, type: "Remove" }, options);
        this.#disks.modified({ ...change, type: "Remove" });
      }
      throw cause;
    }
  }

  async createProcess(parameters: CheckedParameters, options: CallOptions): Promise<GuestProcess> {
    return await this.#running().uvm.guest.createProcess({ ...utilityVmProcess(parameters), ...options });
  }

  async processList(): Promise<never> {
    throw coded(ErrNotSupported, "the guest tells the processes of containers, not of the utility VM");
  }

  async metrics(): Promise<never> {
    throw coded(ErrNotSupported, "the guest tells statistics of containers, not of the utility VM");
  }

  disks() {
    return this.#disks.controllers();
  }

  assignedMemory(): number | undefined {
    return this.#memoryMB === undefined ? undefined : this.#memoryMB * MEBIBYTE;
  }

  guestConnection(): GuestConnectionInfo | undefined {
    if (this.#vm === undefined) return undefined;
    const { SupportedSchemaVersions = [], GuestDefinedCapabilities = {} } = this.#vm.uvm.guest.capabilities;
    return {
      SupportedSchemaVersions: SupportedSchemaVersions.map(({ Major = 0, Minor = 0 }) => ({ Major, Minor })),
      ProtocolVersion: PROTOCOL_VERSION,
      GuestDefinedCapabilities: Object.fromEntries(
        Object.entries(GuestDefinedCapabilities).map(([name, value]) => [name, value === true]),
      ),
    };
  }

  setKeepsLoopAlive(on: boolean): void {
    this.#keepsLoopAlive = on;
    this.#vm?.uvm.setKeepsLoopAlive?.(on);
  }

  async release(): Promise<void> {
    await this.#vm?.uvm.close({ force: true });
  }

  async #onEnd(vm: RunningVm, reason: AgentError): Promise<void> {
    await endMachine(vm);
    if (this.#ending === undefined) {
      this.#exit.reject(coded(ErrVmcomputeUnexpectedExit, reason.message));
    } else {
      this.#exit.resolve(this.#ending);
    }
  }

  async #thaw(options: CallOptions): Promise<void> {
    for (const container of this.#frozen) {
      await container.thaw(options);
      this.#frozen.delete(container);
    }
  }

  #running(): RunningVm {
    if (this.#vm !== undefined) return this.#vm;
    throw coded(ErrVmcomputeOperationInvalidState, "the virtual machine does not run");
  }
}

/** Something of it may be left all the same: release() tries again to remove that, and says so. */
async function endMachine({ uvm }: RunningVm): Promise<void> {
  await uvm.close({ force: true }).catch(() => undefined);
}
