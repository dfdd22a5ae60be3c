import { join } from "node:path";
import type { Lease } from "../../../common/cache/entries.ts";
import { AgentError } from "../../../common/errors.ts";
import { BRIDGE_PORT } from "../../../protocol/messages.ts";
import type { GuestConnection } from "../../guest/guest-connection.ts";
import { UnixHostTransport } from "../../transport/unix-host-transport.ts";
import { BUSYBOX_TEMPORARY_DIRECTORIES, busyboxRoot } from "../busybox-root.ts";
import { largestScratch, MOUNT_POINT_BYTES, resolveDirectory } from "../root-directory.ts";
import type { ContainerRoot, LastOutput, RootOptions, UtilityVm } from "../utility-vm.ts";
import { type AgentRecord, killAgent } from "./agent-record.ts";
import { type AgentTraces, makePrivateDirectory, removeTraces, tracesIn } from "./agent-traces.ts";
import { LocalAgent, type LocalAgentOptions } from "./local-agent.ts";
import { inspectMachine, type Machine } from "./machine.ts";

const DIAL_TIMEOUT_MS = 30_000;
/** How long the agent may take to end its containers, before it is killed and cleaned up after. */
const EXIT_TIMEOUT_MS = 20_000;
/** The same by force: one that answers still cleans up best after itself. */
const FORCED_EXIT_MS = 2_000;
/** A killed process is gone at once, unless the kernel is stuck in it. */
const KILL_TIMEOUT_MS = 5_000;

export interface LocalUvmOptions extends LocalAgentOptions {
  /** runc, crun, or the path of one like them. Default runc. */
  readonly ociRuntime?: string;
  /** Told what the agent leaves should this process be killed: see removeAgent. */
  readonly onAgent?: (agent: AgentRecord) => void;
  readonly signal?: AbortSignal;
}

/** An agent of our own on this machine, without a virtual machine around it, over Unix sockets. Needs root. */
export class LocalUvm implements UtilityVm {
  readonly guest: GuestConnection;
  readonly died: Promise<AgentError>;
  readonly hasUnifiedCgroups: boolean;
  readonly maximumOpenFiles?: number;
  /** How the agent calls the OCI runtime. */
  readonly runtime: { readonly command: string; readonly root: string };
  readonly #parts: Parts;
  /** Of what its containers' roots are above. */
  readonly #leases = new Set<Lease>();
  #roots = 0;
  readonly #forced = Promise.withResolvers<void>();
  #closing: Promise<void> | undefined;

  /**
   * Starts the agent and waits for its dial. After a failure nothing is left.
   * @throws AgentError NOT_SUPPORTED without root; SPAWN_FAILED with the agent's last words; TIMEOUT, ABORTED
   */
  static async start(options: LocalUvmOptions = {}): Promise<LocalUvm> {
    if (process.geteuid?.() !== 0) {
      throw new AgentError(
        "NOT_SUPPORTED",
        "containers without a virtual machine need root; run this as root",
      );
    }
    const directory = await makePrivateDirectory(options.ociRuntime);
    const traces = tracesIn(directory, options.ociRuntime);
    const socketPrefix = join(directory, "port");
    const transport = new UnixHostTransport(socketPrefix);
    let agent: LocalAgent | undefined;
    try {
      const listener = await transport.listen(BRIDGE_PORT);
      agent = new LocalAgent(socketPrefix, traces, options);
      if (agent.pid !== undefined) options.onAgent?.({ pid: agent.pid, traces });
      // Loaded while the agent starts, which takes longer: the protocol's schemas are half of this program.
      const [{ GuestConnection }, machine] = await Promise.all([
        import("../../guest/guest-connection.ts"),
        inspectMachine(),
      ]);
      const guest = GuestConnection.on(transport, listener);
      // Whoever waits for the guest is told of the agent's death, which is the cause, not of the lost connection.
      void agent.died.then((reason) => guest.close(reason));
      const accepted = guest.accept({ timeoutMs: DIAL_TIMEOUT_MS, signal: options.signal });
      await Promise.race([accepted, agent.died.then((reason) => Promise.reject(reason))]);
      return new LocalUvm({ guest, agent, transport, traces }, machine);
    } catch (cause) {
      // One that has not dialled yet would not notice that its host has gone.
      agent?.kill("SIGTERM");
      await endAgent(agent, transport, traces);
      throw cause;
    }
  }

  private constructor(parts: Parts, machine: Machine) {
    this.#parts = parts;
    this.guest = parts.guest;
    this.died = parts.agent.died;
    this.runtime = { command: parts.traces.ociRuntime, root: parts.traces.runtimeRoot };
    this.hasUnifiedCgroups = machine.hasUnifiedCgroups;
    if (machine.maximumOpenFiles !== undefined) this.maximumOpenFiles = machine.maximumOpenFiles;
  }

  async prepareRoot(directory?: string, { readWrite = false }: RootOptions = {}): Promise<ContainerRoot> {
    if (directory === undefined) {
      if (readWrite)
        throw new AgentError("INVALID_ARGUMENT", "the default root is shared and never written to");
      const root = await busyboxRoot();
      this.#leases.add(root);
      const union = await this.#unite(root.path, MOUNT_POINT_BYTES);
      return {
        path: union.path,
        readonly: true,
        temporaryDirectories: BUSYBOX_TEMPORARY_DIRECTORIES,
        release: async () => {
          await union.release();
          root.release();
          this.#leases.delete(root);
        },
      };
    }
    const path = await resolveDirectory(directory);
    if (readWrite) return { path, readonly: false, temporaryDirectories: [] };
    const union = await this.#unite(path, largestScratch()).catch((cause: unknown) => {
      throw new AgentError(
        "MOUNT_FAILED",
        `no writable layer can be put above the root ${directory}; copy it to another file system, or write to the directory itself (--read-write)`,
        { cause },
      );
    });
    return { ...union, readonly: false, temporaryDirectories: [] };
  }

  /** A union of a directory, which is not written to, and memory. */
  async #unite(directory: string, bytes: number): Promise<{ path: string; release(): Promise<void> }> {
    const { guest, traces } = this.#parts;
    const number = this.#roots++;
    const path = join(traces.directory, "roots", String(number));
    await guest.modify({
      ResourceType: "CombinedLayers",
      RequestType: "Add",
      Settings: {
        ContainerRootPath: path,
        Layers: [{ Path: directory }],
        ScratchPath: join(traces.directory, "scratch", String(number)),
        ScratchSizeInBytes: bytes,
      },
    });
    return {
      path,
      async release() {
        await guest.modify({
          ResourceType: "CombinedLayers",
          RequestType: "Remove",
          Settings: { ContainerRootPath: path },
        });
      },
    };
  }

  lastOutput(): LastOutput {
    return { log: this.#parts.agent.log };
  }

  bundlePath(containerId: string): string {
    return join(this.#parts.traces.directory, "c", containerId);
  }

  setKeepsLoopAlive(on: boolean): void {
    this.#parts.agent.setKeepsLoopAlive(on);
    this.#parts.transport.setKeepsLoopAlive(on);
  }

  close({ force = false }: { readonly force?: boolean } = {}): Promise<void> {
    if (force) this.#forced.resolve();
    this.#closing ??= this.#close().catch((error: unknown) => {
      this.#closing = undefined;
      throw error;
    });
    return this.#closing;
  }

  /** For `await using`: close(). */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const { guest, agent, transport, traces } = this.#parts;
    agent.expectEnd();
    await guest.close();
    await endAgent(agent, transport, traces, this.#forced.promise);
    for (const lease of this.#leases) lease.release();
  }
}

interface Parts {
  readonly guest: GuestConnection;
  readonly agent: LocalAgent;
  readonly transport: UnixHostTransport;
  readonly traces: AgentTraces;
}

/** Waits for the agent, which ends with its connection and deletes all it made; does that itself where it must. */
async function endAgent(
  agent: LocalAgent | undefined,
  transport: UnixHostTransport,
  traces: AgentTraces,
  forced?: Promise<void>,
): Promise<void> {
  agent?.expectEnd();
  await transport.close();
  if (agent !== undefined) {
    const ends = [agent.hasExitedWithin(EXIT_TIMEOUT_MS)];
    if (forced !== undefined) ends.push(forced.then(() => agent.hasExitedWithin(FORCED_EXIT_MS)));
    if (!(await Promise.race(ends)) && agent.pid !== undefined) {
      await killAgent(agent.pid);
      await agent.hasExitedWithin(KILL_TIMEOUT_MS);
    }
  }
  await removeTraces(traces);
}
