import { withDeadline, within } from "../../../common/deadline.ts";
import type { GuestProcess } from "../../guest/guest-process.ts";
import type { CallOptions } from "../cow.ts";
import type { CheckedParameters } from "../documents/process-parameters.ts";
import type {
  GuestConnectionInfo,
  MappedVirtualDiskController,
  ProcessProperties,
} from "../documents/schema1.ts";
import type { ModifySettingRequest, SaveOptions } from "../documents/schema2.ts";
import type { ParsedV1, V1Disk } from "../documents/v1-config.ts";
import type { RunningVm, UtilityVmDriver } from "../drivers/driver.ts";
import { ErrVmcomputeOperationInvalidState } from "../error-codes.ts";
import { coded } from "../errors.ts";
import { ContainerKind } from "./container-kind.ts";
import type { ExitType, SystemKind } from "./system-kind.ts";
import { VmKind } from "./vm-kind.ts";

/** How long output may wait for a reader, once the container has ended; then the VM goes all the same. */
const FINISH_TIMEOUT_MS = 30_000;
/** How long force asks a guest before it ends the machine. */
const ASK_MS = 2_000;
/** How long the VM may take to tell of its end, once the container's guest is lost. */
const DEATH_NOTICE_MS = 2_000;

/** Version 1's container: a utility VM and the one container in it, which are one system and end together. */
export class V1Kind implements SystemKind {
  readonly type = "Container";
  readonly exited: Promise<ExitType>;
  readonly #exit = Promise.withResolvers<ExitType>();
  readonly #id: string;
  readonly #config: ParsedV1;
  readonly #vm: VmKind;
  #container: ContainerKind | undefined;

  constructor(id: string, config: ParsedV1, driver: UtilityVmDriver) {
    this.#id = id;
    this.#config = config;
    this.#vm = new VmKind(id, config.vm, driver);
    this.exited = this.#exit.promise;
    this.exited.catch(() => undefined);
    this.#vm.exited.then(
      (type) => this.#exit.resolve(type),
      (error) => this.#exit.reject(error),
    );
  }

  get vm(): RunningVm | undefined {
    return this.#vm.vm;
  }

  async start(options: CallOptions): Promise<void> {
    await this.#vm.start(options);
    try {
      const mounts = await this.#mountDisks(options);
      const container = new ContainerKind(this.#id, this.#id, this.#vm, this.#config.container, mounts);
      container.exited.then(
        (type) => this.#onContainerExit(container, type),
        (error: unknown) => this.#onContainerLost(error),
      );
      await container.start(options);
      this.#container = container;
    } catch (cause) {
      await this.#vm.terminate();
      throw cause;
    }
  }

  async shutdown(options: CallOptions): Promise<void> {
    if (this.#container?.isMade === true) await this.#container.shutdown(options);
    else await this.#vm.shutdown(options);
  }

  async terminate(options: CallOptions): Promise<void> {
    const container = this.#container;
    if (container?.isMade === true) {
      // A guest that answers tells how its processes ended. One that does not is not waited for.
      const signal = AbortSignal.any([
        ...(options.signal ? [options.signal] : []),
        AbortSignal.timeout(ASK_MS),
      ]);
      const isEnded = await withDeadline(container.terminate({ signal }), "terminating", {
        timeoutMs: ASK_MS,
      }).then(
        () => true,
        () => false,
      );
      const ended = container.exited.catch(() => undefined);
      if (isEnded && (await isWithin(ended, ASK_MS))) return;
    }
    await this.#vm.terminate();
  }

  async pause(options: CallOptions): Promise<void> {
    await this.#vm.pause(options);
  }

  async resume(options: CallOptions): Promise<void> {
    await this.#vm.resume(options);
  }

  async save(options: SaveOptions & CallOptions): Promise<void> {
    await this.#vm.save(options);
  }

  async modify(request: ModifySettingRequest, options: CallOptions): Promise<void> {
    const isVms =
      request.ResourcePath?.startsWith("VirtualMachine/") ||
      (!request.ResourcePath && request.GuestRequest?.ResourceType !== "ContainerConstraints");
    await (isVms ? this.#vm : this.#running()).modify(request, options);
  }

  async createProcess(parameters: CheckedParameters, options: CallOptions): Promise<GuestProcess> {
    return await this.#running().createProcess(parameters, options);
  }

  async processList(options: CallOptions): Promise<ProcessProperties> {
    return await this.#running().processList(options);
  }

  async metrics(options: CallOptions): Promise<Readonly<Record<string, unknown>>> {
    return await this.#running().metrics(options);
  }

  disks(): Readonly<Record<number, MappedVirtualDiskController>> {
    const controllers: Record<number, MappedVirtualDiskController> = { ...this.#vm.disks() };
    for (const { controller, lun, ...disk } of this.#config.disks) {
      const disks = controllers[controller]?.MappedVirtualDisks;
      if (disks?.[lun] !== undefined)
        controllers[controller] = { MappedVirtualDisks: { ...disks, [lun]: disk } };
    }
    return controllers;
  }

  assignedMemory(): number | undefined {
    return this.#vm.assignedMemory();
  }

  guestConnection(): GuestConnectionInfo | undefined {
    return this.#vm.guestConnection();
  }

  setKeepsLoopAlive(on: boolean): void {
    this.#vm.setKeepsLoopAlive(on);
  }

  async release(): Promise<void> {
    await this.#vm.release();
  }

  /** @returns what the container is to see. */
  async #mountDisks(options: CallOptions) {
    const mounts: { source: string; destination: string; readOnly: boolean }[] = [];
    for (const disk of this.#config.disks) {
      if (disk.AttachOnly === true) continue;
      const path = mountPath(disk);
      await this.#vm.vm?.uvm.guest.modify(
        {
          ResourceType: "MappedVirtualDisk",
          RequestType: "Add",
          Settings: {
            MountPath: path,
            Controller: disk.controller,
            Lun: disk.lun,
            ReadOnly: disk.ReadOnly === true,
          } as never,
        },
        options,
      );
      if (disk.CreateInUtilityVM === true) continue;
      mounts.push({ source: path, destination: disk.ContainerPath, readOnly: disk.ReadOnly === true });
    }
    return mounts;
  }

  #running(): ContainerKind {
    if (this.#container !== undefined) return this.#container;
    throw coded(ErrVmcomputeOperationInvalidState, "the container does not run");
  }

  async #onContainerExit(container: ContainerKind, type: ExitType): Promise<void> {
    // Told before the VM is ended, whose own end would be a forced one.
    this.#exit.resolve(type);
    // Exit codes and output come over the VM's bridge.
    await container.finished(FINISH_TIMEOUT_MS);
    await this.#vm.terminate();
  }

  async #onContainerLost(error: unknown): Promise<void> {
    await within(Promise.allSettled([this.#vm.exited]), DEATH_NOTICE_MS);
    // Too late when the VM has told of its death.
    this.#exit.reject(error);
  }
}

async function isWithin(event: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  return await withDeadline(event, "waiting", { timeoutMs }).then(
    () => true,
    () => false,
  );
}

function mountPath({ CreateInUtilityVM, ContainerPath, lun }: V1Disk): string {
  return CreateInUtilityVM === true ? ContainerPath : `/run/mounts/disk${lun}`;
}
