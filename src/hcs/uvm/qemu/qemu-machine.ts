import type { Socket } from "node:net";
import { settlesWithin, withDeadline, within } from "../../../common/deadline.ts";
import { AgentError } from "../../../common/errors.ts";
import { printableLines } from "../../../common/printable.ts";
import { LoopHolder } from "../../transport/loop-holder.ts";
import { FORWARDER_PORT_NAME } from "./command-line.ts";
import type { ConsoleFile } from "./console-file.ts";
import { ConsoleTail } from "./console-tail.ts";
import { MachineCgroup } from "./machine-cgroup.ts";
import { QmpClient, type QmpEvent } from "./qmp.ts";
import { type QemuProcess, type QemuProgram, spawnQemu } from "./spawn-qemu.ts";

/** After `quit` QEMU flushes its disks and goes. */
const QUIT_TIMEOUT_MS = 5_000;
/** After its exit, until its output has ended. */
const OUTPUT_TIMEOUT_MS = 2_000;
/** A killed process is gone at once, unless the kernel is stuck in it; with its output's end. */
const KILL_TIMEOUT_MS = 10_000;
const STDERR_BYTES = 8 * 1024;
const DEVICE_TIMEOUT_MS = 10_000;

/** How a machine ended. */
export interface MachineExit {
  /**
   * "shutdown": the guest powered off. "reset": it rebooted, as it does after a panic. "closed": we ended it.
   * "crashed": QEMU went by itself. "lost": nobody could speak to the guest any more, and we ended it.
   */
  readonly how: "shutdown" | "reset" | "closed" | "crashed" | "lost";
  /** For those who still wanted something of the guest: why, with the console's last lines. */
  readonly error: AgentError;
}

export interface MachineOptions {
  /** Our end of the connection that its parameters name; owned from here. */
  readonly control: Socket;
  /** Of the guest. */
  readonly memoryBytes: number;
  /** Gets a copy of the guest's console. */
  readonly consoleFile: ConsoleFile | undefined;
  /** Called when the guest closes its end of the forwarder's port. */
  readonly onPortClosed: () => void;
}

/** One QEMU process with its control socket and console. */
export class QemuMachine {
  readonly console = new ConsoleTail();
  /** Settles when QEMU has gone and its console is read to the end. */
  readonly exited: Promise<MachineExit>;
  readonly pid: number | undefined;
  readonly cgroup: MachineCgroup | undefined;
  /** performance.now() when the guest first printed. */
  firstPrint: number | undefined;
  readonly #process: QemuProcess;
  readonly #control: Socket;
  readonly #consoleFile: ConsoleFile | undefined;
  readonly #removals = new Map<string, () => void>();
  readonly #holder = new LoopHolder();
  #qmp: QmpClient | undefined;
  #said = "";
  #shutdownReason: string | undefined;
  #closing = false;
  #lost: AgentError | undefined;
  readonly #onPortClosed: () => void;

  constructor(program: QemuProgram, options: MachineOptions) {
    this.#control = options.control;
    this.#onPortClosed = options.onPortClosed;
    this.#process = spawnQemu(program);
    this.pid = this.#process.pid;
    this.cgroup = this.pid === undefined ? undefined : MachineCgroup.make(this.pid, options.memoryBytes);
    this.#consoleFile = options.consoleFile;
    for (const handle of [this.#control, this.#process, this.#process.stdout, this.#process.stderr])
      this.#holder.add(handle);
    this.#process.stdout.setEncoding("utf8").on("data", (text: string) => {
      this.firstPrint ??= performance.now();
      this.console.push(text);
      this.#consoleFile?.write(text);
    });
    this.#process.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#said = (this.#said + text).slice(-STDERR_BYTES);
    });
    this.exited = this.#waitForExit();
  }

  /** Settles when QEMU has set the machine up and runs it. @throws AgentError SPAWN_FAILED with QEMU's words */
  async running(): Promise<void> {
    this.#qmp = await QmpClient.open(this.#control, (event) => this.#onEvent(event));
  }

  /** The end of what QEMU itself has said; its warnings, of which newer ones have more, only where it said nothing else. */
  get said(): string {
    const lines = this.#said.trim().split("\n");
    const errors = lines.filter((line) => !/: warning: /.test(line));
    return printableLines((errors.length === 0 ? lines : errors).join("\n"));
  }

  /** @param fd goes along. @throws AgentError INVALID_STATE before running(), and what QmpClient.execute throws */
  async execute(command: string, parameters?: object, fd?: number): Promise<unknown> {
    if (this.#qmp === undefined) throw new AgentError("INVALID_STATE", "QEMU does not run yet");
    return await this.#qmp.execute(command, parameters, fd);
  }

  /** Removes a device and waits until the guest has let it go. @throws AgentError TIMEOUT */
  async removeDevice(id: string): Promise<void> {
    const removed = Promise.withResolvers<void>();
    this.#removals.set(id, removed.resolve);
    try {
      await this.execute("device_del", { id });
      await withDeadline(removed.promise, `the guest's letting ${id} go`, { timeoutMs: DEVICE_TIMEOUT_MS });
    } finally {
      this.#removals.delete(id);
    }
  }

  setKeepsLoopAlive(on: boolean): void {
    this.#holder.setKeepsLoopAlive(on);
  }

  /**
   * Ends QEMU, disks flushed where it still answers. Safe more than once.
   * @throws AgentError HELPER_TIMEOUT when it does not end though it is killed
   * @param lost why the machine is of no use any more; default: its owner does not want it any more.
   */
  async close(lost?: AgentError): Promise<void> {
    if (!this.#closing) this.#lost = lost;
    this.#closing = true;
    // Its answer may not come any more: the exit is what counts.
    this.#qmp?.execute("quit").catch(() => {});
    if (this.#qmp !== undefined && (await settlesWithin(this.exited, QUIT_TIMEOUT_MS))) return;
    this.kill();
    if (await settlesWithin(this.exited, KILL_TIMEOUT_MS)) return;
    const message = `QEMU (process ${this.pid}) has been killed and does not end: the kernel is stuck in it, on a file that does not answer perhaps`;
    throw new AgentError("HELPER_TIMEOUT", message);
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  async #waitForExit(): Promise<MachineExit> {
    const { promise, resolve } = Promise.withResolvers<string>();
    const closed = new Promise<void>((done) => this.#process.once("close", () => done()));
    this.#process.once("exit", (code, signal) => {
      const wasOutOfMemory = signal === "SIGKILL" && this.cgroup?.wasOutOfMemory === true;
      const mebibytes = Math.round((this.cgroup?.memoryBytes ?? 0) / 2 ** 20);
      const why = wasOutOfMemory ? `: out of memory, of which it may have ${mebibytes} MiB` : "";
      resolve(signal === null ? `ended with status ${code}` : `was ended by ${signal}${why}`);
    });
    this.#process.once("error", (cause) => resolve(`could not be started: ${cause.message}`));
    const end = await promise;
    // Then all output is read; unless somebody else holds it open.
    if (this.pid !== undefined) await within(closed, OUTPUT_TIMEOUT_MS);
    const exit = this.#explain(end);
    this.cgroup?.remove();
    this.#consoleFile?.[Symbol.dispose]();
    this.#control.destroy();
    await this.#qmp?.close();
    return exit;
  }

  #explain(end: string): MachineExit {
    const how = this.#lost ? "lost" : this.#closing ? "closed" : exitKind(this.#shutdownReason);
    const summary = this.#summary(how, end);
    // What QEMU itself says is the reason; a guest that has not begun has nothing to add.
    const isExplained = how === "closed" || (how === "crashed" && this.said !== "" && this.console.isEmpty);
    const message = isExplained ? summary : `${summary}; ${this.console.summary()}`;
    return { how, error: new AgentError("TRANSPORT_CLOSED", message) };
  }

  #summary(how: MachineExit["how"], end: string): string {
    const panic = this.console.panic();
    switch (how) {
      case "closed":
        return "the virtual machine was closed";
      case "lost":
        return `the virtual machine was ended: ${this.#lost?.message}`;
      case "shutdown":
        return "the guest powered itself off";
      case "reset":
        return `the guest rebooted${panic === undefined ? "" : `: kernel panic: ${panic}`}`;
      default:
        return `QEMU ${end}${this.said === "" ? "" : `: ${this.said}`}`;
    }
  }

  #onEvent({ event, data }: QmpEvent): void {
    if (event === "SHUTDOWN") this.#shutdownReason = String(data.reason);
    if (event === "VSERPORT_CHANGE" && data.id === FORWARDER_PORT_NAME && data.open === false)
      this.#onPortClosed();
    if (event === "DEVICE_DELETED" && typeof data.device === "string") this.#removals.get(data.device)?.();
  }
}

/** @param reason QEMU's ShutdownCause. */
function exitKind(reason: string | undefined): MachineExit["how"] {
  if (reason === "guest-shutdown") return "shutdown";
  // A panic without a handler reboots.
  if (reason === "guest-reset" || reason === "guest-panic") return "reset";
  return reason === "host-qmp-quit" ? "closed" : "crashed";
}
