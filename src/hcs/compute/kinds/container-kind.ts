import { within } from "../../../common/deadline.ts";
import { AgentError } from "../../../common/errors.ts";
import type { OciSpec } from "../../../protocol/schemas/oci.ts";
import type { GuestContainer } from "../../guest/guest-container.ts";
import type { GuestProcess } from "../../guest/guest-process.ts";
import type { CallOptions } from "../cow.ts";
import type { HostedOciDocument } from "../documents/document.ts";
import type { ContainerDocument } from "../documents/document-parts.ts";
import {
  type CheckedParameters,
  furtherProcess,
  initProcess,
  specifiedInit,
  utilityVmProcess,
} from "../documents/process-parameters.ts";
import type { MappedVirtualDiskController, ProcessProperties } from "../documents/schema1.ts";
import type { ModifySettingRequest } from "../documents/schema2.ts";
import type { RunningVm } from "../drivers/driver.ts";
import { ErrNotSupported, ErrVmcomputeOperationInvalidState } from "../error-codes.ts";
import { coded } from "../errors.ts";
import { modifyContainer } from "./container-modify.ts";
import { type GuestMount, type PreparedContainer, prepareContainer } from "./container-spec.ts";
import { setFrozen } from "./freezer.ts";
import type { ExitType, SystemKind } from "./system-kind.ts";
import type { Freezable } from "./vm-kind.ts";

/** The VM, as far as a container in it is concerned. */
export interface ContainerHost {
  /** Absent: it does not run. */
  readonly vm: RunningVm | undefined;
  /** Containers in it that have not ended. */
  readonly hosted: Set<Freezable>;
  /** Settles or rejects when the VM is gone. */
  readonly exited: Promise<unknown>;
  /** See SystemKind.disks. */
  disks(): Readonly<Record<number, MappedVirtualDiskController>>;
}

interface MadeContainer {
  readonly guest: GuestContainer;
  readonly spec: OciSpec;
  release?(): Promise<void>;
}

/**
 * A container in a utility VM. One with an OCI specification is made in the guest at once; for any other the guest
 * is asked when the first process is created, which says what its init is.
 */
export class ContainerKind implements SystemKind, Freezable {
  readonly type = "Container";
  readonly hostingSystemId: string;
  readonly exited: Promise<ExitType>;
  readonly vm: RunningVm;
  readonly #id: string;
  readonly #host: ContainerHost;
  readonly #document: ContainerDocument;
  readonly #mounts: readonly GuestMount[];
  readonly #exit = Promise.withResolvers<ExitType>();
  /** Those whose end or output is still under way. */
  readonly #unfinished = new Set<Promise<unknown>>();
  #made: Promise<MadeContainer> | undefined;
  /** By its first process, rather than by a specification of its own. */
  #isMadeForInit = false;
  #isStarted = false;
  #hasInit = false;
  #isFrozen = false;
  /** In the guest. */
  #isDeleted = false;

  /**
   * @param host the VM, which runs
   * @param mounts of directories in the VM, beside the document's
   */
  constructor(
    id: string,
    hostingSystemId: string,
    host: ContainerHost,
    document: ContainerDocument = {},
    mounts: readonly GuestMount[] = [],
  ) {
    if (host.vm === undefined) {
      throw coded(
        ErrVmcomputeOperationInvalidState,
        `system ${hostingSystemId} does not run; start it first`,
      );
    }
    this.#id = id;
    this.hostingSystemId = hostingSystemId;
    this.#host = host;
    this.vm = host.vm;
    this.#document = document;
    this.#mounts = mounts;
    this.exited = this.#exit.promise;
    const forget = () => void host.hosted.delete(this);
    this.exited.then(forget, forget);
    host.hosted.add(this);
    const lost = () => {
      const message = `how container ${id} ended is unknown: system ${hostingSystemId} is gone`;
      this.#exit.reject(new AgentError("TRANSPORT_CLOSED", message));
    };
    host.exited.then(lost, lost);
  }

  /** Whether the guest has it or is making it. */
  get isMade(): boolean {
    return this.#made !== undefined;
  }

  /** Makes a container by the specification given. @throws AgentError as GuestConnection.createContainer */
  async createFromSpec(hosted: HostedOciDocument, options: CallOptions): Promise<void> {
    const prepared: PreparedContainer = {
      spec: hosted.OciSpecification,
      bundlePath: hosted.OciBundlePath || this.vm.uvm.bundlePath(this.#id),
      ...(hosted.ScratchDirPath && { scratchPath: hosted.ScratchDirPath }),
    };
    this.#made = this.#make(prepared, options);
    try {
      await this.#made;
    } catch (cause) {
      this.#exit.resolve("UnexpectedExit");
      throw cause;
    }
  }

  async start(options: CallOptions): Promise<void> {
    await (await this.#made)?.guest.start(options);
    this.#isStarted = true;
  }

  async shutdown(options: CallOptions): Promise<void> {
    const made = await this.#made;
    if (made === undefined) this.#exit.resolve("GracefulExit");
    else await made.guest.shutdown(options);
  }

  async terminate(options: CallOptions): Promise<void> {
    const made = await this.#made?.catch(() => undefined);
    if (made === undefined) this.#exit.resolve("ForcedExit");
    else await made.guest.terminate(options);
  }

  async pause(options: CallOptions): Promise<void> {
    if (!(await this.freeze(options))) {
      throw coded(ErrVmcomputeOperationInvalidState, "there is nothing to pause before the first process");
    }
  }

  async resume(options: CallOptions): Promise<void> {
    await this.thaw(options);
  }

  async freeze(options: CallOptions): Promise<boolean> {
    if (!this.#hasInit || this.#isFrozen) return false;
    await this.#setFrozen(true, options);
    this.#isFrozen = true;
    return true;
  }

  async thaw(options: CallOptions): Promise<void> {
    if (!this.#isFrozen) return;
    await this.#setFrozen(false, options);
    this.#isFrozen = false;
  }

  async #setFrozen(frozen: boolean, options: CallOptions): Promise<void> {
    const made = await this.#made;
    if (made === undefined || !this.vm.uvm.guest.canPause) {
      await setFrozen(this.vm, this.#id, frozen, options);
    } else await (frozen ? made.guest.pause(options) : made.guest.resume(options));
  }

  async save(): Promise<never> {
    throw coded(ErrNotSupported, "a container in a utility VM cannot be saved");
  }

  async modify(request: ModifySettingRequest, options: CallOptions): Promise<void> {
    const made = await this.#made;
    if (made === undefined) {
      throw coded(ErrVmcomputeOperationInvalidState, "there is nothing to modify before the first process");
    }
    await modifyContainer(made.guest, request, options);
  }

  /**
   * Settles when the exit codes of all processes are known and their output is read, or when time is over.
   * @param timeoutMs milliseconds
   */
  async finished(timeoutMs: number): Promise<void> {
    await within(Promise.allSettled(this.#unfinished), timeoutMs);
  }

  async createProcess(parameters: CheckedParameters, options: CallOptions): Promise<GuestProcess> {
    const starting = this.#startProcess(parameters, options);
    // From now on, as the container may have ended before the answer to the request is looked at.
    const finished = starting.then(finishOf, () => undefined);
    this.#unfinished.add(finished);
    void finished.then(() => this.#unfinished.delete(finished));
    return await starting;
  }

  async #startProcess(parameters: CheckedParameters, options: CallOptions): Promise<GuestProcess> {
    if (parameters.CreateInUtilityVm === true) {
      const { CreateInUtilityVm: _, ...inside } = parameters;
      return await this.vm.uvm.guest.createProcess({ ...utilityVmProcess(inside), ...options });
    }
    const isSpecified = this.#made !== undefined && !this.#isMadeForInit;
    const made = await this.#makeForInit(parameters, options);
    if (this.#hasInit) {
      return await made.guest.createProcess({ ...furtherProcess(parameters, made.spec.process), ...options });
    }
    const init = isSpecified ? specifiedInit(parameters, made.spec) : initProcess(parameters, made.spec);
    this.#hasInit = true;
    try {
      return await made.guest.createProcess({ ...init, ...options });
    } catch (cause) {
      this.#hasInit = false;
      throw cause;
    }
  }

  async processList(options: CallOptions): Promise<ProcessProperties> {
    const made = await this.#made;
    const { pids, count } = (await made?.guest.processList(options)) ?? { pids: [], count: 0 };
    const ProcessList = pids.map((ProcessId) => ({ ProcessId }));
    return { ProcessList, ...(count > pids.length && { ProcessCount: count }) };
  }

  async metrics(options: CallOptions): Promise<Readonly<Record<string, unknown>>> {
    const made = await this.#made;
    return (await made?.guest.statistics(options)) ?? {};
  }

  disks() {
    return this.#host.disks();
  }

  assignedMemory(): undefined {
    return undefined;
  }

  guestConnection(): undefined {
    return undefined;
  }

  async release(): Promise<void> {
    try {
      const made = await this.#made?.catch(() => undefined);
      if (!this.#isDeleted) await made?.guest.deleteState();
      this.#isDeleted = true;
      await made?.release?.();
    } catch (error) {
      // With the guest all of it is gone anyway.
      if (!(error instanceof AgentError && error.code === "TRANSPORT_CLOSED")) throw error;
    }
  }

  async #makeForInit(parameters: CheckedParameters, options: CallOptions): Promise<MadeContainer> {
    if (this.#made !== undefined) return await this.#made;
    const made = prepareContainer(this.#id, this.#document, this.vm, {
      parameters,
      mounts: this.#mounts,
    }).then((prepared) => this.#make(prepared, options));
    this.#made = made;
    this.#isMadeForInit = true;
    try {
      return await made;
    } catch (cause) {
      this.#made = undefined;
      throw cause;
    }
  }

  async #make(prepared: PreparedContainer, options: CallOptions): Promise<MadeContainer> {
    const { spec, bundlePath, scratchPath, release } = prepared;
    try {
      const guest = await this.vm.uvm.guest.createContainer(this.#id, {
        bundlePath,
        spec,
        ...(scratchPath !== undefined && { scratchDirPath: scratchPath }),
        ...options,
      });
      guest.exited.then(this.#exit.resolve, this.#exit.reject);
      if (this.#isStarted) await guest.start(options);
      return { guest, spec, ...(release && { release }) };
    } catch (cause) {
      // Why it was not made is what matters; what is left goes with the guest.
      await release?.().catch(() => undefined);
      throw cause;
    }
  }
}

async function finishOf(process: GuestProcess): Promise<void> {
  const streams = [process.stdout, process.stderr].filter(
    (stream) => stream !== undefined && !stream.destroyed,
  );
  await Promise.all([
    process.wait().catch(() => undefined),
    ...streams.map((stream) => new Promise((resolve) => stream?.once("close", resolve))),
  ]);
}
