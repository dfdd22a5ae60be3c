import { access, constants, rm } from "node:fs/promises";
import { join } from "node:path";
import { AgentError } from "../../errors.ts";
import { makeTemporaryDirectory } from "../cache/temporary-directory.ts";
import { ForwarderHostTransport } from "../forwarder-host-transport.ts";
import type { HostTransport } from "../host-transport.ts";
import { freeGuestCid, VsockHostTransport } from "../vsock-host-transport.ts";
import { kvmWorks, whyNoKvm } from "./accelerator.ts";
import { blockNode, type Choices, diskDevice, diskName, qemuArguments } from "./command-line.ts";
import type { Disk, QemuConfig } from "./config.ts";
import { Hotplug } from "./hotplug.ts";
import { OneConnection } from "./one-connection.ts";
import { checkConfig } from "./preflight.ts";
import { type MachineExit, QemuMachine } from "./qemu-machine.ts";
import { findQemu } from "./spawn-qemu.ts";

const BOOT_TIMEOUT_MS = 60_000;
/** How long a lost channel waits for QEMU's exit, which tells why. */
const EXPLAIN_TIMEOUT_MS = 2_000;

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
  readonly #sockets: OneConnection[] = [];
  readonly #hotplug = new Hotplug(() => this.#running());
  #machine: QemuMachine | undefined;
  #directory: string | undefined;
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
    const stopped = Promise.withResolvers<never>();
    const onAbort = () =>
      stopped.reject(new AgentError("ABORTED", "the start was aborted", { cause: options.signal?.reason }));
    const timer = setTimeout(() => stopped.reject(this.#late(timeoutMs)), timeoutMs);
    options.signal?.addEventListener("abort", onAbort, { once: true });
    if (options.signal?.aborted === true) onAbort();
    try {
      await Promise.race([this.#boot(), stopped.promise]);
    } catch (cause) {
      await this.close();
      throw cause;
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Plugs a disk into the running machine. @throws AgentError INVALID_ARGUMENT, HELPER_FAILED */
  async attachDisk(disk: Disk): Promise<void> {
    const machine = this.#running();
    await machine.execute("blockdev-add", blockNode(disk));
    try {
      await machine.execute("device_add", diskDevice(disk));
    } catch (cause) {
      await machine.execute("blockdev-del", { "node-name": diskName(disk) });
      throw cause;
    }
  }

  /** Unplugs a disk that nobody uses any more. @throws AgentError HELPER_FAILED, TIMEOUT */
  async detachDisk(address: { readonly controller?: number; readonly lun: number }): Promise<void> {
    const machine = this.#running();
    await machine.removeDevice(`${diskName(address)}-device`);
    await machine.execute("blockdev-del", { "node-name": diskName(address) });
  }

  /** Network cards and memory that are plugged in while the machine runs; needs `hotplug` of the configuration. */
  get hotplug(): Hotplug {
    this.#running();
    return this.#hotplug;
  }

  /** Stops the virtual processors; the guest notices nothing but the time. @throws AgentError HELPER_FAILED */
  async pause(): Promise<void> {
    await this.#running().execute("stop");
  }

  /** @throws AgentError HELPER_FAILED */
  async resume(): Promise<void> {
    await this.#running().execute("cont");
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
    const exit = await Promise.race([this.exited, delay(timeoutMs)]);
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
    this.#closing ??= this.#close();
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
    this.#directory = makeTemporaryDirectory("lcow-vm");
    const control = await this.#listenFor("control");
    const channel = this.#forwarder === undefined ? undefined : await this.#listenFor("forwarder");
    const choices: Choices = {
      accelerator: this.accelerator,
      controlSocket: control.path,
      wire:
        channel === undefined
          ? { type: "vsock", cid: this.#cid }
          : { type: "forwarder", socket: channel.path },
    };
    const parameters = qemuArguments(config, choices);
    this.#failIfClosed();
    const machine = new QemuMachine(qemu, parameters, control);
    this.#machine = machine;
    this.times.processStarted = sinceStart();
    void machine.exited.then((exit) => this.#onExit(exit));
    try {
      if (channel !== undefined) this.#forwarder?.attach(await channel.connected);
      await machine.running();
      // Both sockets have met QEMU and are not needed again; should this process be killed, they must not be left.
      await rm(this.#directory, { recursive: true, force: true });
      this.times.machineRunning = sinceStart();
      await this.#forwarder?.connected;
      this.times.forwarderReady = sinceStart();
    } catch (cause) {
      const exit = await Promise.race([machine.exited, delay(EXPLAIN_TIMEOUT_MS)]);
      if (exit === undefined || this.#closing !== undefined) throw cause;
      // What failed here is the symptom: the exit is the cause.
      throw new AgentError("SPAWN_FAILED", `the utility VM did not boot: ${exit.error.message}`, {
        cause: exit.error,
      });
    } finally {
      if (machine.firstPrint !== undefined) this.times.firstPrint = machine.firstPrint - start;
    }
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

  async #listenFor(name: string): Promise<OneConnection> {
    const socket = await OneConnection.listen(join(this.#directory ?? "", name));
    this.#sockets.push(socket);
    return socket;
  }

  /** Undoes everything but the machine itself, which has ended or never began. */
  async #onExit(exit: MachineExit): Promise<void> {
    for (const socket of this.#sockets) socket.close(exit.error);
    await this.transport.close(exit.error);
    if (this.#directory !== undefined) await rm(this.#directory, { recursive: true, force: true });
    this.#ended.resolve(exit);
  }

  async #explain(reason: AgentError): Promise<AgentError> {
    const machine = this.#machine;
    const exit =
      machine === undefined ? undefined : await Promise.race([machine.exited, delay(EXPLAIN_TIMEOUT_MS)]);
    return exit?.error ?? reason;
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

function delay(ms: number): Promise<undefined> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms, undefined).unref();
  });
}
