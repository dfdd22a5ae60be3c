import * as v from "valibot";
import { within, withTimeLimit } from "../../common/deadline.ts";
import { AgentError, describeError } from "../../common/errors.ts";
import { checkContainerId } from "../../protocol/container-id.ts";
import type { GuestConnection } from "../guest/guest-connection.ts";
import type { UtilityVm } from "../uvm/utility-vm.ts";
import type { CallOptions } from "./cow.ts";
import { type ComputeSystemDocument, parseDocument } from "./documents/document.ts";
import type { ComputeSystemQuery, ContainerProperties } from "./documents/schema1.ts";
import type { ModificationRequest, ServiceProperties, ServicePropertyQuery } from "./documents/schema2.ts";
import { ServiceSettings } from "./documents/service-settings.ts";
import { parseStrictly } from "./documents/strict.ts";
import type { UtilityVmDriver } from "./drivers/driver.ts";
import {
  ErrComputeSystemAlreadyExists,
  ErrComputeSystemDoesNotExist,
  ErrVmcomputeOperationInvalidState,
} from "./error-codes.ts";
import { coded, makeHcsError, makeSystemError, SystemError } from "./errors.ts";
import { HandlesInUse } from "./handles-in-use.ts";
import { ContainerKind } from "./kinds/container-kind.ts";
import type { SystemKind } from "./kinds/system-kind.ts";
import { V1Kind } from "./kinds/v1-kind.ts";
import { VmKind } from "./kinds/vm-kind.ts";
import { endWithProgram } from "./program-end.ts";
import { basicProperties } from "./properties.ts";
import { System } from "./system.ts";
import { SystemRecord } from "./system-record.ts";

/** How long the guests may take to tell of their containers' ends, before their machines are ended. */
const ASK_GUEST_MS = 5_000;

const names = v.optional(v.nullable(v.array(v.string())));
const systemQuery = v.strictObject({ Ids: names, Types: names, Names: names, Owners: names });

/** A misspelled filter would let all systems through. */
function checkQuery(query: ComputeSystemQuery) {
  try {
    return parseStrictly(systemQuery, query, "query");
  } catch (thrown) {
    throw makeHcsError("hcs::GetComputeSystems", thrown);
  }
}

/** Each of them, even when another fails. */
async function disposeAll(records: readonly SystemRecord[]): Promise<void> {
  const results = await Promise.allSettled(records.map((record) => record.dispose()));
  const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  if (failures.length === 0) return;
  if (failures.length === 1) throw failures[0];
  const message = failures.map((failure) => describeError(failure)).join("; ");
  throw new AgentError("HELPER_FAILED", message, { cause: new AggregateError(failures) });
}

export interface CreateOptions extends CallOptions {
  /** Makes this system's VM in place of the service's own driver: a LocalDriver, say, to do without one. */
  readonly driver?: UtilityVmDriver;
}

/**
 * Compute systems of this process: utility VMs, which the driver makes, and containers in them. They end with this
 * process; `lcow serve` keeps them beyond it.
 */
export class ComputeService {
  readonly #driver: UtilityVmDriver;
  readonly #settings = new ServiceSettings();
  readonly #systems = new Map<string, SystemRecord>();
  /** A program that has closed its handles is not kept from its end by systems that run on. */
  readonly #inUse = new HandlesInUse((isAny) => this.#setKeepsLoopAlive(isAny));
  #outliveProgram: (() => void) | undefined;
  /** Ids of systems that are being created. */
  readonly #reserved = new Set<string>();

  constructor(options: { readonly driver: UtilityVmDriver }) {
    this.#driver = options.driver;
  }

  /**
   * Makes a system, which start() then starts.
   * @param id 1 to 255 of `[A-Za-z0-9_+.-]`, the first a letter or digit
   * @throws SystemError ErrVmcomputeInvalidJSON naming the part of the document that is not known or wrong,
   *   ErrNotSupported naming the part that the driver cannot do, ErrComputeSystemAlreadyExists,
   *   ErrComputeSystemDoesNotExist when there is no system HostingSystemId, ErrTimeout; or what the guest answers
   */
  async createComputeSystem(
    id: string,
    document: ComputeSystemDocument,
    options: CreateOptions = {},
  ): Promise<System> {
    const op = "hcs::CreateComputeSystem";
    if (this.#systems.has(id) || this.#reserved.has(id)) {
      throw new SystemError(id, op, ErrComputeSystemAlreadyExists);
    }
    this.#reserved.add(id);
    try {
      checkContainerId(id);
      const parsed = parseDocument(document);
      const { owner, terminateOnLastHandleClosed } = parsed;
      const kind = await this.#makeKind(id, parsed, options);
      const record = new SystemRecord(id, kind, {
        name: parsed.kind === "v1" ? parsed.config.name : undefined,
        owner,
        terminateOnLastHandleClosed,
        timeouts: this.#settings.timeouts,
        inUse: this.#inUse,
        onGone: () => this.#forget(id),
      });
      this.#systems.set(id, record);
      this.#outliveProgram ??= endWithProgram(this);
      return new System(record);
    } catch (thrown) {
      throw makeSystemError(id, op, thrown);
    } finally {
      this.#reserved.delete(id);
    }
  }

  /** Another handle to a system. @throws SystemError ErrComputeSystemDoesNotExist */
  async openComputeSystem(id: string): Promise<System> {
    const record = this.#systems.get(id);
    if (record === undefined)
      throw new SystemError(id, "hcs::OpenComputeSystem", ErrComputeSystemDoesNotExist);
    return new System(record);
  }

  /**
   * The systems that fit every part of the query. Those that have stopped are there as long as they have a handle.
   * @throws HcsError ErrVmcomputeInvalidJSON naming a part of the query that is not known or wrong
   */
  async getComputeSystems(given: ComputeSystemQuery = {}): Promise<ContainerProperties[]> {
    const query = checkQuery(given);
    const fits = (wanted: readonly string[] | null | undefined, value: string) =>
      !wanted?.length || wanted.includes(value);
    return [...this.#systems.values()]
      .map(basicProperties)
      .filter(
        ({ Id, SystemType, Name, Owner }) =>
          fits(query.Ids, Id) &&
          fits(query.Types, SystemType) &&
          fits(query.Names, Name) &&
          fits(query.Owners, Owner),
      );
  }

  /** "Basic": the schema versions; "Timeouts": how long calls may take. @throws HcsError ErrNotSupported */
  async getServiceProperties(query: ServicePropertyQuery = {}): Promise<ServiceProperties> {
    try {
      return this.#settings.properties(query);
    } catch (thrown) {
      throw makeHcsError("hcs::GetServiceProperties", thrown);
    }
  }

  /** Changes "Timeouts" for systems created from now on. @throws HcsError ErrNotSupported, ErrVmcomputeInvalidJSON */
  async modifyServiceSettings(settings: ModificationRequest): Promise<void> {
    try {
      this.#settings.modify(settings);
    } catch (thrown) {
      throw makeHcsError("hcs::ModifyServiceSettings", thrown);
    }
  }

  /** The guest that a system is or runs in, while it is there to answer: not before the start, paused or ended. */
  guestOf(id: string): GuestConnection | undefined {
    const record = this.#systems.get(id);
    const answers = record !== undefined && record.state !== "Paused" && !record.isStopped;
    return answers ? record.kind.vm?.uvm.guest : undefined;
  }

  /** The machine that a system is or runs in, also when it is paused or has ended; not before its start. */
  machineOf(id: string): UtilityVm | undefined {
    return this.#systems.get(id)?.kind.vm?.uvm;
  }

  /**
   * Ends all systems and forgets them.
   * @throws AgentError what is left of those that could not be removed; they stay known, and the next call tries again
   */
  async close(): Promise<void> {
    this.#setKeepsLoopAlive(true);
    const isVm = ({ kind }: SystemRecord) => kind.type === "VirtualMachine";
    const isHosted = ({ kind }: SystemRecord) => kind.hostingSystemId !== undefined;
    const records = () => [...this.#systems.values()];
    // What fails on the way is done again, and told, at the end.
    const attempt = (some: SystemRecord[]) => disposeAll(some).catch(() => undefined);
    await attempt(records().filter((record) => isVm(record) && record.state === "Paused"));
    // Before their machines, so that their ends are told by the guest; one that does not answer is not waited for.
    await within(attempt(records().filter(isHosted)), ASK_GUEST_MS);
    await disposeAll(records());
  }

  /** For `await using`: close(). */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #setKeepsLoopAlive(on: boolean): void {
    for (const { kind } of this.#systems.values()) kind.setKeepsLoopAlive?.(on);
  }

  #forget(id: string): void {
    this.#systems.delete(id);
    if (this.#systems.size > 0) return;
    this.#outliveProgram?.();
    this.#outliveProgram = undefined;
  }

  async #makeKind(
    id: string,
    parsed: ReturnType<typeof parseDocument>,
    options: CreateOptions,
  ): Promise<SystemKind> {
    const { driver = this.#driver } = options;
    if (parsed.kind === "v1") return new V1Kind(id, parsed.config, driver);
    if (parsed.kind === "vm") return new VmKind(id, parsed.vm, driver);
    if (options.driver !== undefined) {
      const message = `options: a driver makes virtual machines, and this container runs in ${parsed.hostingSystemId}`;
      throw new AgentError("INVALID_ARGUMENT", message);
    }
    const { hostingSystemId } = parsed;
    const host = this.#host(hostingSystemId);
    if (parsed.kind === "container") return new ContainerKind(id, hostingSystemId, host, parsed.container);
    const kind = new ContainerKind(id, hostingSystemId, host);
    const { SystemCreateMs } = this.#settings.timeouts;
    await withTimeLimit(`creating system ${id}`, SystemCreateMs, options.signal, (limited) =>
      kind.createFromSpec(parsed.hosted, limited),
    );
    return kind;
  }

  #host(id: string): VmKind {
    const record = this.#systems.get(id);
    if (record === undefined) {
      throw coded(ErrComputeSystemDoesNotExist, `HostingSystemId: system ${id} does not exist`);
    }
    if (!(record.kind instanceof VmKind) || record.state !== "Running") {
      throw coded(
        ErrVmcomputeOperationInvalidState,
        `HostingSystemId: ${id} is no virtual machine that runs`,
      );
    }
    return record.kind;
  }
}
