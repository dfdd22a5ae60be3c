import { closeSync } from "node:fs";
import { access, constants } from "node:fs/promises";
import { CleanupStack } from "../../../common/cleanup.ts";
import { withDeadline, within } from "../../../common/deadline.ts";
import { AgentError } from "../../../common/errors.ts";
import { ForwarderHostTransport } from "../../transport/forwarder-host-transport.ts";
import type { HostTransport } from "../../transport/host-transport.ts";
import { freeGuestCid, VsockHostTransport } from "../../transport/vsock-host-transport.ts";
import { kvmWorks, whyNoKvm } from "./accelerator.ts";
import { blockNode, type Choices, diskDevice, diskName, qemuArguments } from "./command-line.ts";
import { DEFAULT_MEMORY_MIB, type Disk, type QemuConfig } from "./config.ts";
import { confine } from "./confinement.ts";
import { ConsoleFile } from "./console-file.ts";
import { Hotplug } from "./hotplug.ts";
import { fdSetPath, openDisk, PassedFiles } from "./passed-files.ts";
import { checkConfig, checkDiskFile } from "./preflight.ts";
import { type MachineExit, QemuMachine } from "./qemu-machine.ts";
import { findQemu } from "./spawn-qemu.ts";

const BOOT_TIMEOUT_MS = 60_000;
/** How long a lost channel waits for QEMU's exit, which tells why. */
const EXPLAIN_TIMEOUT_MS = 2_000;
/** After the channel's loss a guest may still end its processes and write its disks; then the machine is ended. */
const POWER_OFF_TIMEOUT_MS = 15_000;

/** Milliseconds from start(), as far as the boot has come. */
export interface BootTimes {
  /** QEMU is started: files checked, accelerator known. */
  processStarted?: number;
  /** QEMU has built the machine and runs it. */
  machineRunning?: number;
  /** The guest's first output on the console: with "quiet", the first program's. */
  firstPrint?: number;
  /** The forwarder in the guest listens. */
  forwarderReady?: number;
}

/**
 * A utility VM in QEMU. Listen on `transport` first, then start(): the ports are there from the guest's first
 * moment. Dies with this process, and leaves nothing behind.
 */
export class QemuVm {
  readonly transport: HostTransport;
  readonly times: BootTimes = {};
  /** "kvm" or "tcg" once started. */
  accelerator: Choices["accelerator"] | undefined;
  readonly #config: QemuConfig;
  readonly #forwarder: ForwarderHostTransport | undefined;
  readonly #cid: number;
  readonly #ended = Promise.withResolvers<MachineExit>();
  /** The descriptor sets of disks that were plugged in, by the disks' names. */
  readonly #diskSets = new Map<string, number>();
  readonly #hotplug = new Hotplug(() => this.#running());
  #machine: QemuMachine | undefined;
  #closing: Promise<void> | undefined;

  /** Chooses the transport; nothing runs yet. @throws AgentError NOT_SUPPORTED */
  static async create(config: QemuConfig): Promise<QemuVm> {
    const hasVsock = await access("/dev/vhost-vsock", constants.R_OK | constants.W_OK).then(
      () => true,
      () => false,
    );
    if (config.transport === "vsock" && !hasVsock) {
      throw new AgentError(
        "NOT_SUPPORTED",
        "no usable /dev/vhost-vsock; load vhost_vsock or use the forwarder",
      );
    }
    const useVsock = config.transport !== "forwarder" && hasVsock;
    return new QemuVm(config, useVsock ? await freeGuestCid() : undefined);
  }

  private constructor(config: QemuConfig, cid: number | undefined) {
    this.#config = config;
    this.#cid = cid ?? 0;
    if (cid === undefined) {
      this.#forwarder = new ForwarderHostTransport({ explainLoss: (reason) => this.#explain(reason) });
      this.transport = this.#forwarder;
    } else {
      this.transport = new VsockHostTransport(cid);
    }
  }

  /** Settles when the machine has ended, in whatever way. */
  get exited(): Promise<MachineExit> {
    return this.#ended.promise;
  }

  /** QEMU's process id, for messages. */
  get pid(): number | undefined {
    return this.#machine?.pid;
  }

  /** As much of it as is kept. */
  get consoleText(): string {
    return this.#machine?.console.text ?? "";
  }

  /** The end of what the guest printed. */
  get consoleTail(): string {
    return this.#machine?.console.lastLines() ?? "";
  }

  /**
   * Boots. Settles when the guest's forwarder listens, or with real vsock when the machine runs. After a failure
   * nothing is left of the machine.
   * @throws AgentError INVALID_ARGUMENT, SPAWN_FAILED naming the end of the console; TIMEOUT, ABORTED
   */
  async start(options: { signal?: AbortSignal } = {}): Promise<void> {
    if (this.#machine !== undefined || this.#closing !== undefined) {
      throw new AgentError("INVALID_STATE", "a virtual machine starts once; make another");
    }
    const timeoutMs = this.#config.bootTimeoutMs ?? BOOT_TIMEOUT_MS;
    try {
      const late = () => this.#late(timeoutMs);
      await withDeadline(this.#boot(), "the start", { timeoutMs, signal: options.signal, late });
    } catch (cause) {
      await this.close();
      throw cause;
    }
  }

  /** Plugs a disk into the running machine. @throws AgentError INVALID_ARGUMENT, HELPER_FAILED */
  async attachDisk(disk: Disk): Promise<void> {
    const machine = this.#running();
    await checkDiskFile(disk);
    const undo = new CleanupStack();
    try {
      const set = await passDisk(machine, disk);
      undo.push("give up the disk's file", () => removeDisk(machine, set));
      await machine.execute("blockdev-add", blockNode({ ...disk, path: fdSetPath(set) }));
      undo.push("take the disk from QEMU", async () => {
        await machine.execute("blockdev-del", { "node-name": diskName(disk) });
      });
      await machine.execute("device_add", diskDevice(disk));
      this.#diskSets.set(diskName(disk), set);
    } catch (cause) {
      const [failure] = await undo.run();
      if (failure === undefined) throw cause;
      const message = `could neither plug in ${disk.path} nor ${failure.what}`;
      throw new AgentError("HELPER_FAILED", message, { cause: new AggregateError([cause, failure.cause]) });
    }
  }

  /** Unplugs a disk that nobody uses any more. @throws AgentError HELPER_FAILED, TIMEOUT */
  async detachDisk(address: { readonly controller?: number; readonly lun: number }): Promise<void> {
    const machine = this.#running();
    await machine.removeDevice(`${diskName(address)}-device`);
    await machine.execute("blockdev-del", { "node-name": diskName(address) });
    const set = this.#diskSets.get(diskName(address));
    this.#diskSets.delete(diskName(address));
    if (set !== undefined) await removeDisk(machine, set);
  }

  /** Network cards and memory that are plugged in while the machine runs; needs `hotplug` of the configuration. */
  get hotplug(): Hotplug {
    this.#running();
    return this.#hotplug;
  }

  /** Stops the virtual processors; the guest notices nothing but the time. @throws AgentError HELPER_FAILED */
  async pause(): Promise<void> {
    this.#forwarder?.suspendHeartbeat(true);
    await this.#running().execute("stop");
  }

  /** @throws AgentError HELPER_FAILED */
  async resume(): Promise<void> {
    await this.#running().execute("cont");
    this.#forwarder?.suspendHeartbeat(false);
  }

  /**
   * Presses the power button and waits; a guest that does not listen for it (module `button`) is ended with
   * close(). The agent's own shutdown goes over the bridge.
   * @throws AgentError TIMEOUT
   */
  async powerDown(options: { timeoutMs: number }): Promise<void> {
    await this.#running().execute("system_powerdown");
    await this.waitForExit(options);
  }

  /** @throws AgentError TIMEOUT */
  async waitForExit({ timeoutMs }: { timeoutMs: number }): Promise<MachineExit> {
    const exit = await within(this.exited, timeoutMs);
    if (exit !== undefined) return exit;
    throw new AgentError("TIMEOUT", `the guest did not power off within ${timeoutMs} ms${this.#lastLines()}`);
  }

  /** Whether the machine keeps this program running; default true. It ends with the program in any case. */
  setKeepsLoopAlive(on: boolean): void {
    this.transport.setKeepsLoopAlive?.(on);
    this.#machine?.setKeepsLoopAlive(on);
  }

  /** Ends the machine at once, its disks flushed, and removes what it needed. Safe more than once. */
  close(): Promise<void> {
    this.#closing ??= this.#close().catch((error: unknown) => {
      this.#closing = undefined;
      throw error;
    });
    return this.#closing;
  }

  /** Ends QEMU as it is, when it does not end by itself after close(). */
  kill(): void {
    this.#machine?.kill();
  }

  async #boot(): Promise<void> {
    const start = performance.now();
    const sinceStart = () => performance.now() - start;
    const config = this.#config;
    await checkConfig(config);
    const qemu = await findQemu(config.qemu);
    this.accelerator = await this.#chooseAccelerator(qemu);
    this.#failIfClosed();
    const confinement = await confine(config, {
      program: qemu,
      accelerator: this.accelerator,
      usesVsock: this.#forwarder === undefined,
    });
    this.#failIfClosed();
    const machine = this.#startMachine(qemu, this.accelerator, confinement.options);
    this.#machine = machine;
    this.times.processStarted = sinceStart();
    void machine.exited.then((exit) => this.#onExit(exit));
    try {
      await machine.running();
      this.times.machineRunning = sinceStart();
      await this.#forwarder?.connected;
      this.times.forwarderReady = sinceStart();
    } catch (cause) {
      const exit = await within(machine.exited, EXPLAIN_TIMEOUT_MS);
      if (exit === undefined || this.#closing !== undefined) throw cause;
      // What failed here is the symptom: the exit is the cause.
      throw new AgentError("SPAWN_FAILED", `the utility VM did not boot: ${exit.error.message}`, {
        cause: exit.error,
      });
    } finally {
      if (machine.firstPrint !== undefined) this.times.firstPrint = machine.firstPrint - start;
    }
  }

  #startMachine(
    path: string,
    accelerator: Choices["accelerator"],
    confinement: readonly string[],
  ): QemuMachine {
    // Ours are closed once the child has its own.
    using files = new PassedFiles();
    const passed = files.pass(this.#config);
    const { consoleFile, memoryMiB = DEFAULT_MEMORY_MIB } = this.#config;
    const console = consoleFile === undefined ? undefined : new ConsoleFile(consoleFile);
    const control = files.connect({ allowHalfOpen: false });
    const channel = this.#forwarder === undefined ? undefined : files.connect({ allowHalfOpen: true });
    const choices: Choices = {
      accelerator,
      controlFd: control.fd,
      wire: channel === undefined ? { type: "vsock", cid: this.#cid } : { type: "forwarder", fd: channel.fd },
    };
    const parameters = [...files.arguments, ...qemuArguments(passed, choices)];
    if (channel !== undefined) this.#forwarder?.attach(channel.socket);
    return new QemuMachine(
      { path, parameters, confinement, fds: files.fds },
      {
        control: control.socket,
        memoryBytes: memoryMiB * 2 ** 20,
        consoleFile: console,
        onPortClosed: () => this.#forwarder?.notePortClosed(),
      },
    );
  }

  async #chooseAccelerator(qemu: string): Promise<"kvm" | "tcg"> {
    const wanted = this.#config.accelerator ?? "auto";
    if (wanted === "tcg") return "tcg";
    if (await kvmWorks(qemu, this.#config.kernel)) return "kvm";
    if (wanted === "auto") return "tcg";
    throw new AgentError("NOT_SUPPORTED", `${await whyNoKvm()}; use the accelerator tcg`);
  }

  /** A start that was given up meanwhile must not go on. */
  #failIfClosed(): void {
    if (this.#closing !== undefined)
      throw new AgentError("ABORTED", "the virtual machine was closed while it started");
  }

  #running(): QemuMachine {
    if (this.#machine !== undefined && this.#closing === undefined) return this.#machine;
    throw new AgentError("INVALID_STATE", "the virtual machine does not run");
  }

  /** Undoes everything but the machine itself, which has ended or never began. */
  async #onExit(exit: MachineExit): Promise<void> {
    await this.transport.close(exit.error);
    this.#ended.resolve(exit);
  }

  async #explain(reason: AgentError): Promise<AgentError> {
    const machine = this.#machine;
    if (machine === undefined) return reason;
    // A machine that nobody can speak to is of no use to anybody.
    void this.#endUnreachable(machine, reason);
    const exit = await within(machine.exited, EXPLAIN_TIMEOUT_MS);
    return exit?.error ?? reason;
  }

  async #endUnreachable(machine: QemuMachine, reason: AgentError): Promise<void> {
    const exit = await within(machine.exited, POWER_OFF_TIMEOUT_MS);
    if (exit !== undefined) return;
    await machine.close(reason).catch((error: AgentError) => this.#onExit({ how: "lost", error }));
  }

  async #close(): Promise<void> {
    await this.#machine?.close();
    if (this.#machine !== undefined) {
      await this.exited;
      return;
    }
    const error = new AgentError("TRANSPORT_CLOSED", "the virtual machine was closed");
    await this.#onExit({ how: "closed", error });
  }

  #late(timeoutMs: number): AgentError {
    return new AgentError(
      "TIMEOUT",
      `the utility VM did not boot within ${timeoutMs} ms${this.#lastLines()}`,
    );
  }

  #lastLines(): string {
    const said = this.#machine?.said ?? "";
    return `${said === "" ? "" : `; QEMU said: ${said}`}; ${this.#machine?.console.summary() ?? "it did not begin"}`;
  }
}

/** @returns the set of descriptors that it is in */
async function passDisk(machine: QemuMachine, disk: Disk): Promise<number> {
  const fd = openDisk(disk);
  try {
    const added = (await machine.execute("add-fd", {}, fd)) as { "fdset-id": number };
    return added["fdset-id"];
  } finally {
    closeSync(fd);
  }
}

async function removeDisk(machine: QemuMachine, set: number): Promise<void> {
  await machine.execute("remove-fd", { "fdset-id": set });
}
