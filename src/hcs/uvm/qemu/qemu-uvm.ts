import { randomBytes } from "node:crypto";
import { AgentError } from "../../../common/errors.ts";
import { GuestConnection } from "../../guest/guest-connection.ts";
import { onceOnly } from "../../guest/stdio-channels.ts";
import { AgentOutput } from "../agent-output.ts";
import type { ContainerRoot, LastOutput, RootOptions, UtilityVm } from "../utility-vm.ts";
import type { QemuConfig } from "./config.ts";
import { DiskRoots } from "./disk-roots.ts";
import { QemuVm } from "./qemu-vm.ts";

/** vsock ports of the host that the guest's command line names, as hcsshim's does. */
const ENTROPY_PORT = 1;
const LOG_PORT = 109;
const ENTROPY_BYTES = 512;
/** From the guest's first dial to the agent's; emulated, it starts in a few seconds. */
const AGENT_TIMEOUT_MS = 60_000;
/** How long a guest may take to sync and power off, before it is ended. */
const POWER_OFF_TIMEOUT_MS = 10_000;
/** By force QEMU itself, not its guest, may take so long to flush its disks. */
const FORCED_QUIT_MS = 1_000;

/**
 * Which of the image's runtimes our own host has the agent use: the quicker one (docs/security.md compares their holes). The
 * agent's own default stays runc, which hcsshim's guests have.
 */
export const DEFAULT_OCI_RUNTIME = "crun";

/** What the guest runs: hcsshim's own command line for its agent. Source: hcsshim internal/uvm/create_lcow.go. */
export function agentArguments(logLevel: string, ociRuntime: string): string[] {
  const runtime = ociRuntime === "runc" ? [] : ["-oci-runtime", ociRuntime];
  return [
    ...["-e", String(ENTROPY_PORT), "/bin/vsockexec", "-e", String(LOG_PORT)],
    ...["/bin/gcs", "-v4", "-log-format", "json", "-loglevel", logLevel, ...runtime],
  ];
}

/** What hcsshim passes in front of `--`, but for nr_cpus, which the driver knows, and pci=off: QEMU's disks are on PCI. */
export const KERNEL_ARGUMENTS: readonly string[] = ["panic=-1", "quiet", "brd.rd_nr=0", "pmtmr=0"];

export type BootStage = "kernel" | "init" | "agent" | "negotiated";

export interface QemuUvmOptions
  extends Pick<
    QemuConfig,
    | "kernel"
    | "initrd"
    | "memoryMiB"
    | "cpus"
    | "accelerator"
    | "consoleFile"
    | "disks"
    | "nics"
    | "hotplug"
    | "persistentMemory"
  > {
  /** Added to the kernel's command line. */
  readonly kernelArguments?: readonly string[];
  /** SCSI logical units of controller 0 from this one on are for roots; default 0. */
  readonly firstRootLun?: number;
  /** runc, crun, or a path in the guest. Default crun. */
  readonly ociRuntime?: string;
  /** Default info. */
  readonly logLevel?: string;
  readonly onLog?: (text: string) => void;
  /** Told as the guest gets there, with the milliseconds since the start. */
  readonly onStage?: (stage: BootStage, ms: number) => void;
  readonly signal?: AbortSignal;
}

/** The image's agent in a virtual machine. */
export class QemuUvm implements UtilityVm {
  readonly guest: GuestConnection;
  readonly vm: QemuVm;
  readonly died: Promise<AgentError>;
  readonly hasUnifiedCgroups = true;
  readonly #roots: DiskRoots;
  readonly #services: Services;
  readonly #forced = Promise.withResolvers<void>();
  #isForced = false;
  #closing: Promise<void> | undefined;

  /**
   * Boots, and waits until the agent has negotiated. After a failure nothing is left.
   * @throws AgentError as QemuVm.start; TIMEOUT when the agent does not dial
   */
  static async start(options: QemuUvmOptions): Promise<QemuUvm> {
    const { ociRuntime = DEFAULT_OCI_RUNTIME, logLevel = "info", firstRootLun = 0, ...rest } = options;
    const { onLog, onStage, signal, ...machine } = rest;
    const start = performance.now();
    const stage = (name: BootStage) => onStage?.(name, performance.now() - start);
    const vm = await QemuVm.create({
      ...machine,
      // Who keeps the console wants to read what the kernel says on it.
      kernelArguments: [
        ...KERNEL_ARGUMENTS.filter((word) => word !== "quiet" || machine.consoleFile === undefined),
        ...(machine.kernelArguments ?? []),
      ],
      // One bridge for the machine's life: without it nobody can reach the containers, and who dials anew is not the host.
      initArguments: [...agentArguments(logLevel, ociRuntime), "-exit-with-host"],
    });
    let uvm: QemuUvm | undefined;
    try {
      const services = await listenForServices(vm, onLog, stage);
      const guest = await GuestConnection.listen(vm.transport);
      uvm = new QemuUvm(vm, guest, services, firstRootLun);
      stage("kernel");
      await vm.start({ ...(signal !== undefined && { signal }) });
      stage("init");
      await Promise.race([
        guest.accept({ timeoutMs: AGENT_TIMEOUT_MS, ...(signal !== undefined && { signal }) }),
        uvm.died.then((reason) => Promise.reject(reason)),
      ]);
      stage("negotiated");
      return uvm;
    } catch (cause) {
      await uvm?.guest.close();
      await vm.close();
      throw cause;
    }
  }

  private constructor(vm: QemuVm, guest: GuestConnection, services: Services, firstRootLun: number) {
    this.#roots = new DiskRoots(vm, guest, firstRootLun);
    this.#services = services;
    this.vm = vm;
    this.guest = guest;
    this.died = vm.exited.then(({ error }) => {
      const reason = new AgentError("TRANSPORT_CLOSED", `${error.message}${services.lastWords()}`, {
        cause: error,
      });
      void guest.close(reason);
      return reason;
    });
  }

  async prepareRoot(directory?: string, options?: RootOptions): Promise<ContainerRoot> {
    return await this.#roots.prepare(directory, options);
  }

  lastOutput(): LastOutput {
    return { console: this.vm.consoleText, log: this.#services.log() };
  }

  bundlePath(containerId: string): string {
    return `/run/gcs/c/${containerId}`;
  }

  setKeepsLoopAlive(on: boolean): void {
    this.vm.setKeepsLoopAlive(on);
  }

  close({ force = false }: { readonly force?: boolean } = {}): Promise<void> {
    if (force) this.#force();
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
    if (!this.#isForced) {
      try {
        this.guest.shutdown();
      } catch (error) {
        // A guest that cannot be asked any more is on its way down, or is ended below.
        if (!(error instanceof AgentError)) throw error;
      }
      const forced = this.#forced.promise;
      await Promise.race([
        this.vm.waitForExit({ timeoutMs: POWER_OFF_TIMEOUT_MS }).catch(() => undefined),
        forced,
      ]);
    }
    // Not waited for before the machine is gone: a guest that is stopped would have to answer.
    const disconnected = this.guest.close();
    await this.vm.close();
    await disconnected;
    this.#roots.close();
  }

  #force(): void {
    this.#isForced = true;
    this.#forced.resolve();
    const timer = setTimeout(() => this.vm.kill(), FORCED_QUIT_MS);
    void this.vm.exited.then(() => clearTimeout(timer));
  }
}

interface Services {
  /** The end of the agent's log, for the error that tells of the guest's end. */
  lastWords(): string;
  /** The end of the agent's log as it is. */
  log(): string;
}

/** What the guest dials beside the agent's bridge: entropy for its kernel, and the log. */
async function listenForServices(
  vm: QemuVm,
  onLog: ((text: string) => void) | undefined,
  stage: (stage: BootStage) => void,
): Promise<Services> {
  const entropy = onceOnly(await vm.transport.listen(ENTROPY_PORT, { backlog: 1 }));
  const log = onceOnly(await vm.transport.listen(LOG_PORT, { backlog: 1 }));
  let output: AgentOutput | undefined;
  // A guest that ends before it dials is told by the machine's own end; there is nothing to add here.
  const ignored = () => undefined;
  // Each is dialled once; a port that is not listened on any more keeps no program running.
  void entropy
    .accept()
    .then(async (stream) => {
      stream.on("error", ignored);
      stream.end(randomBytes(ENTROPY_BYTES));
      stream.resume();
      await entropy.close();
    })
    .catch(ignored);
  void log
    .accept()
    .then(async (stream) => {
      stage("agent");
      output = new AgentOutput(stream, onLog);
      stream.end();
      await log.close();
    })
    .catch(ignored);
  return { lastWords: () => output?.lastWords() ?? "", log: () => output?.tail ?? "" };
}
