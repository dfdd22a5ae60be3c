import type { Readable, Writable } from "node:stream";
import { withDeadline } from "../../common/deadline.ts";
import { AgentError } from "../../common/errors.ts";
import type * as cow from "./cow.ts";
import { ErrAlreadyClosed, ErrInvalidProcessState } from "./error-codes.ts";
import { makeProcessError, ProcessError } from "./errors.ts";
import type { ProcessRecord } from "./process-record.ts";
import { readableHandle, writableHandle } from "./stream-handles.ts";

/** What a guest answers to a signal for a process that is gone. */
const GONE = ["PROCESS_NOT_FOUND", "SYSTEM_NOT_FOUND", "SYSTEM_ALREADY_STOPPED", "INVALID_STATE"];

/**
 * A handle to a process in a compute system; hcsshim's hcs.Process. Every method throws ProcessError; once the handle
 * is closed with ErrAlreadyClosed (isAlreadyClosed), and once the guest is lost with ErrUnexpectedProcessAbort.
 */
export class Process implements cow.Process {
  readonly pid: number;
  /** The id of the compute system it runs in. */
  readonly systemId: string;
  readonly #record: ProcessRecord;
  /** The handle from createProcess has the streams, and closes them. */
  readonly #ownsStdio: boolean;
  readonly #closed = Promise.withResolvers<never>();
  #isClosed = false;

  /** For the compute service: see System.createProcess and System.openProcess. */
  constructor(record: ProcessRecord, options: { readonly ownsStdio: boolean }) {
    this.#record = record;
    this.#ownsStdio = options.ownsStdio;
    this.pid = record.pid;
    this.systemId = record.systemId;
    record.addHandle();
    this.#closed.promise.catch(() => undefined);
  }

  /** The streams asked for in createProcess. A handle from openProcess has none: see stdioLegacy. */
  stdio(): cow.ProcessStdio {
    if (!this.#ownsStdio) return {};
    const { stdin, stdout, stderr } = this.#record.guest;
    return { ...(stdin && { stdin }), ...(stdout && { stdout }), ...(stderr && { stderr }) };
  }

  /**
   * Ends of the same streams, for any handle and as often as asked for. Closing one closes neither the stream nor
   * another end; what one has read, no other reads.
   */
  stdioLegacy(): cow.ProcessStdio {
    this.#expectOpen("StdioLegacy");
    const { stdin, stdout, stderr } = this.#record.guest;
    const streams: { stdin?: Writable; stdout?: Readable; stderr?: Readable } = {};
    if (stdin !== undefined) streams.stdin = writableHandle(stdin);
    if (stdout !== undefined) streams.stdout = readableHandle(stdout);
    if (stderr !== undefined) streams.stderr = readableHandle(stderr);
    return streams;
  }

  async closeStdin(options: cow.CallOptions = {}): Promise<void> {
    await this.#call("CloseStdin", () =>
      withDeadline(this.#record.guest.closeStdin(), `closing stdin of process ${this.pid}`, options),
    );
  }

  async closeStdout(_options: cow.CallOptions = {}): Promise<void> {
    // Here hcsshim takes a closed handle for a closed stream.
    if (!this.#isClosed) this.#record.guest.stdout?.destroy();
  }

  async closeStderr(_options: cow.CallOptions = {}): Promise<void> {
    if (!this.#isClosed) this.#record.guest.stderr?.destroy();
  }

  async resizeConsole(width: number, height: number, options: cow.CallOptions = {}): Promise<void> {
    await this.#call("ResizeConsole", () => this.#record.guest.resize(height, width, options));
  }

  async signal(signal: number | cow.SignalProcessOptions, options: cow.CallOptions = {}): Promise<boolean> {
    const number = typeof signal === "number" ? signal : signal.Signal;
    return await this.#call("Signal", () => this.#deliver(number, options));
  }

  async kill(options: cow.CallOptions = {}): Promise<boolean> {
    return await this.#call("Kill", () => this.#deliver(undefined, options));
  }

  async wait(options: cow.CallOptions = {}): Promise<number> {
    const outcome = Promise.race([this.#record.exited, this.#closed.promise]);
    try {
      return await withDeadline(outcome, `waiting for process ${this.pid}`, options);
    } catch (thrown) {
      throw makeProcessError(this.systemId, this.pid, "hcs::Process::Wait", thrown);
    }
  }

  exitCode(): number {
    const { exitCode, failure } = this.#record;
    if (exitCode !== undefined) return exitCode;
    if (failure !== undefined) throw failure;
    throw new ProcessError(
      this.systemId,
      this.pid,
      "hcs::Process::ExitCode",
      this.#isClosed ? ErrAlreadyClosed : ErrInvalidProcessState,
    );
  }

  /** Who waits through this handle is told ErrAlreadyClosed. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#ownsStdio) this.#record.guest.close();
    this.#record.removeHandle();
    this.#closed.reject(new ProcessError(this.systemId, this.pid, "hcs::Process::Wait", ErrAlreadyClosed));
  }

  /** For `await using`: close(). */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #deliver(signal: number | undefined, options: cow.CallOptions): Promise<boolean> {
    if (this.#record.exitCode !== undefined) return false;
    try {
      return await this.#record.guest.signal(signal, options);
    } catch (error) {
      if (error instanceof AgentError && GONE.includes(error.code)) return false;
      throw error;
    }
  }

  async #call<T>(name: string, run: () => Promise<T>): Promise<T> {
    this.#expectOpen(name);
    try {
      return await run();
    } catch (thrown) {
      throw makeProcessError(this.systemId, this.pid, `hcs::Process::${name}`, thrown);
    }
  }

  #expectOpen(name: string): void {
    if (!this.#isClosed) return;
    throw new ProcessError(this.systemId, this.pid, `hcs::Process::${name}`, ErrAlreadyClosed);
  }
}
