/** The utility VM's state: its containers, and the processes outside them. */
import { hostname } from "node:os";
import { CleanupStack } from "../../common/cleanup.ts";
import { AgentError } from "../../common/errors.ts";
import type { Logger } from "../../common/log.ts";
import { Cgroup } from "../../linux/cgroups/cgroup.ts";
import { detectCgroupLayout } from "../../linux/cgroups/layout.ts";
import { limitMemory } from "../../linux/cgroups/memory-limit.ts";
import type { Supervisor } from "../../linux/supervisor.ts";
import { MACHINE, NetworkNamespaces } from "../../network/namespaces.ts";
import type { ModifySettingsRequest } from "../../protocol/schemas/modify-settings.ts";
import type { OciSpec } from "../../protocol/schemas/oci.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { StdioPorts, Transport } from "../../stdio/transport.ts";
import { type Bundle, writeBundle } from "./bundle.ts";
import { type ExitType, UvmContainer } from "./container.ts";
import type { ExternalCommand } from "./external-command.ts";
import { explainMountFailure } from "./mount-failure.ts";
import { UvmMounts } from "./mounts.ts";
import { Pods } from "./pods.ts";
import { UvmProcess } from "./process.ts";
import { ProcessTable } from "./process-table.ts";
import { checkProcess, refuseProgram } from "./program.ts";
import { checkMounts, expectMounts } from "./shared-mounts.ts";
import { isTrue } from "./spec/annotations.ts";
import { checkNamespaces, runtimeSpec } from "./spec/runtime-spec.ts";
import { resolveUser } from "./users.ts";

/** Enough for an init system or another container engine inside; few enough to walk in a moment. */
const CGROUP_NESTING = { descendants: 1024, depth: 32 };

/** How long what was killed may take to end, at the agent's own end. */
const ORPHANS_END_MS = 5_000;
/** Each holds some descriptors and some hundred KiB here and in the kernel; Kubernetes has 250 pods a machine at most. */
const MOST_CONTAINERS = 1024;
/** Ids in one error. */
const MOST_NAMED = 8;

export interface UvmOptions {
  readonly runtime: Runtime;
  readonly transport: Transport;
  readonly supervisor: Supervisor;
  readonly log: Logger;
  /** Cgroup under which containers live: "/pods". */
  readonly cgroupParent: string;
  /** Containers that are not privileged get sockets of the host's, too; see isTrue() of spec/annotations.ts. */
  readonly allowHostSockets: boolean;
  /** What all containers together never get, bytes. */
  readonly memoryReserveBytes: number;
  /** Of the agent alone: mounts may be below it. */
  readonly privateDirectory: string | undefined;
}

export interface ContainerSettings {
  /** Absolute. */
  readonly bundlePath: string;
  readonly spec: OciSpec;
  /** See ContainerParts; only for a container that was created. */
  readonly onExit: (exitType: ExitType) => void;
}

export class Uvm {
  readonly #options: UvmOptions;
  readonly #mounts: UvmMounts;
  readonly #networks: NetworkNamespaces;
  readonly #pods: Pods;
  /** An id is taken from the moment its creation begins; "creating" until it is done. */
  readonly #containers = new Map<string, UvmContainer | "creating">();
  /** Creations under way: close() waits for them, so that what they make is deleted, too. */
  readonly #creating = new Set<Promise<UvmContainer>>();
  /** Processes outside containers that are being started, likewise. */
  readonly #executing = new Set<Promise<number>>();
  #isClosing = false;
  #unifiedCgroups: boolean | undefined;
  /** Processes outside any container. */
  readonly processes = new ProcessTable("the utility VM");

  constructor(options: UvmOptions) {
    this.#options = options;
    this.#mounts = new UvmMounts(options.privateDirectory);
    this.#networks = new NetworkNamespaces(options.log);
    this.#pods = new Pods(this.#networks);
  }

  /** Programs that the agent has started so far: calls of the runtime, helpers, processes outside containers. */
  get programsStarted(): number {
    return this.#options.supervisor.startedCount;
  }

  get containers(): UvmContainer[] {
    return [...this.#containers.values()].filter((container) => container !== "creating");
  }

  /** @throws AgentError SYSTEM_NOT_FOUND, INVALID_STATE while it is being created. */
  container(id: string): UvmContainer {
    const container = this.#containers.get(id);
    if (container === undefined) throw new AgentError("SYSTEM_NOT_FOUND", `container ${id} does not exist`);
    if (container === "creating")
      throw new AgentError("INVALID_STATE", `container ${id} is still being created`);
    return container;
  }

  /**
   * Creates a container whose init is blocked until the host executes it.
   * After a failure nothing of it is left.
   * @throws AgentError SYSTEM_ALREADY_EXISTS, INVALID_ARGUMENT, RUNTIME_FAILED and the runtime's others.
   */
  async createContainer(id: string, settings: ContainerSettings): Promise<UvmContainer> {
    if (this.#isClosing) throw new AgentError("INVALID_STATE", `container ${id}: the agent is ending`);
    const creating = this.#createContainer(id, settings);
    this.#creating.add(creating);
    try {
      return await creating;
    } finally {
      this.#creating.delete(creating);
    }
  }

  async #createContainer(id: string, settings: ContainerSettings): Promise<UvmContainer> {
    if (this.#containers.has(id))
      throw new AgentError("SYSTEM_ALREADY_EXISTS", `container ${id} already exists`);
    if (this.#containers.size >= MOST_CONTAINERS) {
      throw new AgentError(
        "INVALID_STATE",
        `container ${id} is refused: there are ${this.#containers.size} already, and ${MOST_CONTAINERS} are the most; delete those that have ended`,
      );
    }
    if (!settings.bundlePath.startsWith("/")) {
      throw new AgentError(
        "INVALID_ARGUMENT",
        `OciBundlePath "${settings.bundlePath}" is not an absolute path`,
      );
    }
    checkProcess(settings.spec.process);
    checkNamespaces(settings.spec);
    this.#containers.set(id, "creating");
    const undo = new CleanupStack();
    undo.push(`forget container ${id}`, () => void this.#containers.delete(id));
    const { runtime, transport, log, cgroupParent, allowHostSockets } = this.#options;
    try {
      const placement = await this.#pods.place(
        { id, ...settings, machineName: machineName(), cgroupParent },
        undo,
      );
      const user = await resolveUser(settings.spec.process.user, {
        rootPath: settings.spec.root.path,
        warn: (err) => log.warn({ err, cid: id }, "a user's groups are unknown"),
      });
      const { username } = settings.spec.process.user ?? {};
      const spec = runtimeSpec(
        { ...placement.spec, process: { ...placement.spec.process, user: { ...user, username } } },
        { ...placement, unifiedCgroups: this.#hasUnifiedCgroups() },
      );
      const written = await writeBundle(settings.bundlePath, spec, placement.files);
      undo.push(`remove the bundle of ${id}`, () => written.remove());
      const { pod, networkNamespace } = placement;
      let leaveNetwork = () => {};
      const bundle: Bundle = {
        path: written.path,
        remove: async () => {
          await written.remove();
          if (pod !== undefined) await this.#pods.remove(pod, id);
          leaveNetwork();
        },
      };
      const expected = expectMounts(placement.needed);
      const created = await runtime
        .createContainer(id, bundle.path, {
          spec,
          hostSockets: allowHostSockets || isTrue(spec, "privileged"),
          cgroupNesting: CGROUP_NESTING,
        })
        .catch(async (error: unknown) => {
          const explained = await explainMountFailure(spec, error);
          if (explained !== undefined) log.info({ err: error, cid: id }, "the runtime could not mount");
          throw explained ?? error;
        });
      undo.push(`delete container ${id}`, () => created.delete({ force: true }));
      await checkMounts(expected, created.pid);
      if (networkNamespace !== "") {
        const place = placement.hostNetwork ? MACHINE : created.pid;
        await this.#networks.assign(networkNamespace, place);
        leaveNetwork = () => this.#networks.release(networkNamespace, place);
        undo.push(`release network namespace ${networkNamespace}`, leaveNetwork);
      }
      await refuseProgram(spec.process, created.pid);
      const container = new UvmContainer({
        container: created,
        bundle,
        initProcess: spec.process,
        rootPath: spec.root.path,
        transport,
        log,
        onExit: settings.onExit,
      });
      this.#containers.set(id, container);
      return container;
    } catch (error) {
      for (const failure of await undo.run()) {
        log.warn({ err: failure.cause, cid: id, step: failure.what }, "could not undo a failed create");
      }
      throw error;
    }
  }

  #hasUnifiedCgroups(): boolean {
    try {
      this.#unifiedCgroups ??= detectCgroupLayout().version === 2;
    } catch (error) {
      if (!(error instanceof AgentError) || error.code !== "CGROUP_UNAVAILABLE") throw error;
    }
    return this.#unifiedCgroups ?? false;
  }

  /**
   * Removes a stopped container and frees its id; with a sandbox its pod goes, of which no container may run then.
   * @throws AgentError SYSTEM_NOT_FOUND, INVALID_STATE
   */
  async deleteContainer(id: string, options: { force?: boolean } = {}): Promise<void> {
    const container = this.container(id);
    if (options.force !== true) this.#refuseWhileUsed(id);
    await container.delete(options);
    this.#containers.delete(id);
  }

  #refuseWhileUsed(sandboxId: string): void {
    const others = [...(this.#pods.ofSandbox(sandboxId)?.members ?? [])].filter((id) => id !== sandboxId);
    const running = others.filter((id) => {
      const container = this.#containers.get(id);
      return container === "creating" || (container !== undefined && container.status !== "stopped");
    });
    if (running.length === 0) return;
    throw new AgentError(
      "INVALID_STATE",
      `pod ${sandboxId} has containers that are not stopped: ${running.slice(0, MOST_NAMED).join(", ")}; delete them first`,
    );
  }

  /** Changes the utility VM itself. @throws AgentError NOT_SUPPORTED */
  async modify(request: ModifySettingsRequest): Promise<void> {
    // Loaded at the first use, as what else a container need not have: the agent answers its host sooner.
    const { modifyUvm } = await import("./modify.ts");
    await modifyUvm(request, {
      mounts: this.#mounts,
      networks: this.#networks,
      limitMemory: this.#limitMemory,
    });
  }

  /** Gives containers together what memory there is now, but for the reserve. @throws AgentError CGROUP_UNAVAILABLE */
  readonly #limitMemory = (): void => {
    const { cgroupParent, memoryReserveBytes } = this.#options;
    limitMemory(cgroupParent, memoryReserveBytes);
  };

  /** Changes a container. @throws AgentError SYSTEM_NOT_FOUND, RUNTIME_FAILED */
  async modifyContainer(id: string, request: ModifySettingsRequest): Promise<void> {
    const container = this.container(id);
    const { modifyContainer } = await import("./modify.ts");
    await modifyContainer(request, container);
  }

  /** Runs a process outside any container. @returns its pid. @throws AgentError SPAWN_FAILED, DIAL_FAILED */
  async executeOutside(command: ExternalCommand, ports: StdioPorts): Promise<number> {
    if (this.#isClosing)
      throw new AgentError("INVALID_STATE", "no process is started any more: the agent is ending");
    const executing = this.#executeOutside(command, ports);
    this.#executing.add(executing);
    try {
      return await executing;
    } finally {
      this.#executing.delete(executing);
    }
  }

  async #executeOutside(command: ExternalCommand, ports: StdioPorts): Promise<number> {
    const { supervisor, transport, log } = this.#options;
    const { startExternalProcess } = await import("./external-process.ts");
    const process = new UvmProcess(await startExternalProcess(command, { supervisor, transport, ports }));
    this.processes.add(process);
    process.releaseDelivered().catch((err: unknown) => {
      log.warn({ err, pid: process.pid }, "could not free what a process held");
    });
    return process.pid;
  }

  /**
   * A process by the id of its owner. One that was run outside in a container's name is found there too.
   * @throws AgentError SYSTEM_NOT_FOUND, PROCESS_NOT_FOUND
   */
  process(containerId: string | undefined, pid: number): UvmProcess {
    if (containerId === undefined) return this.processes.get(pid);
    const { processes } = this.container(containerId);
    return processes.find(pid) ?? this.processes.find(pid) ?? processes.get(pid);
  }

  /**
   * Tells in the log which containers the runtime has before this agent made any. They stay as they are: with the agent
   * that made them their stdio and exit codes are gone, so none can be taken over, and some may be another program's.
   * @throws AgentError RUNTIME_FAILED, HELPER_TIMEOUT
   */
  async tellLeftovers(): Promise<void> {
    const { runtime, log } = this.#options;
    for (const { id, status, pid, bundle } of await runtime.listContainerStates()) {
      if (this.#containers.has(id)) continue;
      const words =
        "the runtime has a container that this agent did not make; its id is taken until that is deleted";
      log.warn({ cid: id, status, pid, bundle }, words);
    }
  }

  async #deleteAll(containers: readonly UvmContainer[]): Promise<void> {
    await Promise.all(
      containers.map(async ({ id }) => {
        try {
          await this.deleteContainer(id, { force: true });
        } catch (err) {
          this.#options.log.error({ err, cid: id }, "could not delete a container");
        }
      }),
    );
  }

  /** Kills and deletes everything; for the agent's own end. Failures are logged, none stops the rest. */
  async close(): Promise<void> {
    const { log } = this.#options;
    this.#isClosing = true;
    await Promise.allSettled(this.#executing);
    for (const process of this.processes.running) {
      try {
        process.signal(9);
      } catch (err) {
        log.debug({ err, pid: process.pid }, "a process was gone before it was killed");
      }
    }
    await Promise.allSettled(this.#creating);
    const isSandbox = ({ id }: UvmContainer) => this.#pods.ofSandbox(id) !== undefined;
    await this.#deleteAll(this.containers.filter((container) => !isSandbox(container)));
    await this.#deleteAll(this.containers.filter(isSandbox));
    const orphans = await this.#options.supervisor.endOrphans(ORPHANS_END_MS);
    if (orphans.length > 0)
      log.error(
        { pids: orphans.slice(0, MOST_NAMED) },
        "what processes outside containers left does not end",
      );
    try {
      await Cgroup.atPath(detectCgroupLayout(), this.#options.cgroupParent).remove();
    } catch (err) {
      log.warn({ err, cgroup: this.#options.cgroupParent }, "could not remove the containers' cgroup");
    }
    for (const err of await this.#mounts.close()) log.error({ err }, "could not unmount");
  }
}

/** What Linux calls a machine that nobody has named is no name for /etc/hosts. */
function machineName(): string {
  const name = hostname();
  return name === "(none)" || name === "" ? "localhost" : name;
}
