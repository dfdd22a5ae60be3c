import { randomUUID } from "node:crypto";
import { settlesWithin, withDeadline, withTimeLimit } from "../../common/deadline.ts";
import { AgentError } from "../../common/errors.ts";
import type { CallOptions } from "./cow.ts";
import { checkParameters } from "./documents/process-parameters.ts";
import type { ProcessParameters, SaveOptions } from "./documents/schema2.ts";
import type { Timeouts } from "./documents/service-settings.ts";
import {
  ErrElementNotFound,
  ErrVmcomputeAlreadyStopped,
  ErrVmcomputeOperationInvalidState,
} from "./error-codes.ts";
import { coded, makeSystemError, type SystemError } from "./errors.ts";
import type { HandlesInUse } from "./handles-in-use.ts";
import type { ExitType, SystemKind } from "./kinds/system-kind.ts";
import { NotificationHub } from "./notification-hub.ts";
import { HcsNotification } from "./notifications.ts";
import { ProcessRecord } from "./process-record.ts";
import { warnOfRemains } from "./warn-of-remains.ts";

/**
 * created --start--> starting --started--> running <--pause, resume--> paused;
 * from each of them, at the guest's word or loss: stopped. "starting", "pausing" and the like are not states that
 * HCS knows: they show as the one before.
 */
export type SystemState = "Created" | "Running" | "Paused" | "Stopped";

export interface RecordOptions {
  /** Default: the id. */
  readonly name: string | undefined;
  readonly owner: string;
  readonly terminateOnLastHandleClosed: boolean;
  readonly timeouts: Readonly<Timeouts>;
  /** Told whether it runs and has a handle. */
  readonly inUse: HandlesInUse;
  /** Called once, when the system has ended, nobody has a handle any more, and nothing is left of it. */
  readonly onGone: () => void;
}

/** A process that is killed and may run is gone at once, unless the kernel is stuck in it. */
const END_AFTER_KILL_MS = 5_000;

/** One compute system, whatever number of handles there are to it. */
export class SystemRecord {
  readonly id: string;
  readonly runtimeId = randomUUID();
  readonly kind: SystemKind;
  readonly options: RecordOptions;
  readonly notifications = new NotificationHub();
  /** Settles when the system has ended; rejects with a SystemError when how is unknown. */
  readonly exited: Promise<void>;
  #state: SystemState = "Created";
  #transition: string | undefined;
  #startedAt: number | undefined;
  #stoppedAt: number | undefined;
  #exitType: ExitType | undefined;
  #exitError: SystemError | undefined;
  #handles = 0;
  /** Calls that are about to release it, and whose callers are told when that fails. */
  #closers = 0;
  #releasing: Promise<void> | undefined;
  readonly #processes = new Map<number, ProcessRecord>();

  constructor(id: string, kind: SystemKind, options: RecordOptions) {
    this.id = id;
    this.kind = kind;
    this.options = options;
    this.exited = kind.exited.then(
      (type) => this.#onExit(type),
      (cause: unknown) => this.#onLost(cause),
    );
    this.exited.catch(() => undefined);
    this.notifications.notify(HcsNotification.SystemCreateCompleted);
  }

  get state(): SystemState {
    return this.#state;
  }

  get startedAt(): number | undefined {
    return this.#startedAt;
  }

  get stoppedAt(): number | undefined {
    return this.#stoppedAt;
  }

  get exitType(): ExitType | undefined {
    return this.#exitType;
  }

  get exitError(): SystemError | undefined {
    return this.#exitError;
  }

  get isStopped(): boolean {
    return this.#state === "Stopped";
  }

  addHandle(): void {
    this.#handles++;
    this.#tellUse();
  }

  removeHandle(): void {
    this.#handles--;
    this.#tellUse();
  }

  /**
   * Once nobody has a handle: ends it where its document says so, and removes what is left of one that has ended.
   * What has failed is tried again by the next call.
   */
  async releaseUnused(): Promise<void> {
    if (this.#handles > 0) return;
    this.#closers++;
    try {
      if (!this.isStopped && this.options.terminateOnLastHandleClosed) await this.kind.terminate({});
      if (this.isStopped) await this.#release();
    } finally {
      this.#closers--;
    }
  }

  /** Ends it and lets go of all of it, handles or not. Can be repeated when it has failed. */
  async dispose(): Promise<void> {
    this.#closers++;
    try {
      const [terminated] = await Promise.allSettled([this.terminate({})]);
      const ended = Promise.allSettled([this.exited]);
      // One that has ended all the same: what could not be removed is tried once more below.
      if (terminated.status === "fulfilled") await ended;
      else if (!(await settlesWithin(ended, END_AFTER_KILL_MS))) throw terminated.reason;
      await this.#release();
    } finally {
      this.#closers--;
    }
  }

  async start(options: CallOptions): Promise<void> {
    const limit = this.options.timeouts.SystemStartMs;
    await this.#change(
      "start",
      ["Created"],
      "Running",
      limit,
      HcsNotification.SystemStartCompleted,
      options,
      (o) => this.kind.start(o),
    );
    this.#startedAt = Date.now();
  }

  async pause(options: CallOptions): Promise<void> {
    const limit = this.options.timeouts.SystemPauseMs;
    await this.#change(
      "pause",
      ["Running"],
      "Paused",
      limit,
      HcsNotification.SystemPauseCompleted,
      options,
      (o) => this.kind.pause(o),
    );
  }

  async resume(options: CallOptions): Promise<void> {
    const limit = this.options.timeouts.SystemResumeMs;
    await this.#change(
      "resume",
      ["Paused"],
      "Running",
      limit,
      HcsNotification.SystemResumeCompleted,
      options,
      (o) => this.kind.resume(o),
    );
  }

  async save(options: SaveOptions & CallOptions): Promise<void> {
    const limit = this.options.timeouts.SystemSaveMs;
    await this.#change(
      "save",
      ["Paused"],
      "Paused",
      limit,
      HcsNotification.SystemSaveCompleted,
      options,
      (o) => this.kind.save({ ...options, ...o }),
    );
  }

  async shutdown(options: CallOptions): Promise<void> {
    if (this.isStopped) return;
    // What has not been started has nobody to ask.
    if (this.#state === "Created") await this.kind.terminate(options);
    else await this.#ending(this.kind.shutdown(options));
  }

  async terminate(options: CallOptions): Promise<void> {
    if (this.isStopped) return;
    const terminated = this.#ending(this.kind.terminate(options));
    // A frozen process takes no signal, not even SIGKILL, in a cgroup of version 1; a VM that is stopped no request.
    const mustRun = this.#state === "Paused" && this.kind.type === "Container";
    const resumed = mustRun ? this.#resumeToEnd(options) : Promise.resolve();
    await Promise.all([terminated, resumed]);
  }

  async createProcess(parameters: ProcessParameters, options: CallOptions): Promise<ProcessRecord> {
    const checked = checkParameters(parameters);
    this.#expect("create a process", ["Running"]);
    const guest = await this.kind.createProcess(checked, options);
    const record: ProcessRecord = new ProcessRecord(this.id, guest, this.options.inUse, () => {
      // The number may be another process's by now.
      if (this.#processes.get(guest.pid) === record) this.#processes.delete(guest.pid);
    });
    this.#processes.set(record.pid, record);
    return record;
  }

  /** @throws ErrElementNotFound */
  process(pid: number): ProcessRecord {
    const record = this.#processes.get(pid);
    if (record === undefined) {
      throw coded(ErrElementNotFound, `process ${pid} was not created in system ${this.id}`);
    }
    return record;
  }

  /** @throws ErrVmcomputeAlreadyStopped, ErrVmcomputeOperationInvalidState */
  expectRunning(operation: string): void {
    this.#expect(operation, ["Running", "Paused"]);
  }

  async #change(
    name: string,
    from: readonly SystemState[],
    to: SystemState,
    limitMs: number,
    completed: HcsNotification,
    { signal }: CallOptions,
    run: (options: { signal: AbortSignal }) => Promise<void>,
  ): Promise<void> {
    this.#expect(name, from);
    this.#transition = name;
    const what = `to ${name} system ${this.id}`;
    const change = async (given: AbortSignal | undefined) => {
      try {
        await withTimeLimit(what, limitMs, given, run);
        if (this.isStopped) throw coded(ErrVmcomputeAlreadyStopped, `it ended while it was to ${name}`);
        this.#state = to;
        this.notifications.notify(completed);
      } finally {
        this.#transition = undefined;
      }
    };
    // A start that is given up is undone. The others the guest does all the same, and its answer says what is.
    if (name === "start") await change(signal);
    else await withDeadline(change(undefined), what, { signal });
  }

  #expect(operation: string, states: readonly SystemState[]): void {
    if (states.includes(this.#state) && this.#transition === undefined) return;
    if (this.isStopped) {
      throw coded(ErrVmcomputeAlreadyStopped, `cannot ${operation}: the system has stopped`);
    }
    const is = this.#transition === undefined ? this.#state : `about to ${this.#transition}`;
    throw coded(
      ErrVmcomputeOperationInvalidState,
      `cannot ${operation} while the system is ${is}; it must be ${states.join(" or ")}`,
    );
  }

  #onExit(type: ExitType): void {
    this.#stop(type);
    this.notifications.notify(HcsNotification.SystemExited);
    this.#releaseAfterEnd();
  }

  #onLost(cause: unknown): never {
    this.#stop("UnexpectedExit");
    const error = makeSystemError(this.id, "hcs::System::Wait", cause);
    this.#exitError = error;
    this.notifications.notify(HcsNotification.ServiceDisconnect);
    this.#releaseAfterEnd();
    throw error;
  }

  #stop(type: ExitType): void {
    this.#state = "Stopped";
    this.#exitType = type;
    this.#stoppedAt = Date.now();
    this.#tellUse();
  }

  #tellUse(): void {
    this.options.inUse.set(this, this.#handles > 0 && !this.isStopped);
  }

  /** Nobody waits for it, so a failure is a warning; the system stays known, and who opens and closes it tries again. */
  #releaseAfterEnd(): void {
    if (this.#handles > 0 || this.#closers > 0) return;
    this.#release().catch((error: unknown) => warnOfRemains(`of system ${this.id}`, error));
  }

  #release(): Promise<void> {
    this.#releasing ??= this.kind.release().then(this.options.onGone, (error: unknown) => {
      this.#releasing = undefined;
      throw error;
    });
    return this.#releasing;
  }

  /** Some runtimes thaw what they kill by themselves, and then have nothing to resume: the end is what counts. */
  async #resumeToEnd(options: CallOptions): Promise<void> {
    try {
      await this.#ending(this.kind.resume(options));
    } catch (error) {
      if (!(await settlesWithin(Promise.allSettled([this.exited]), END_AFTER_KILL_MS))) throw error;
    }
  }

  /** What has ended in the meantime need not be ended: so says hcsshim of shutdown and terminate. */
  async #ending(call: Promise<void>): Promise<void> {
    try {
      await call;
    } catch (error) {
      const isGone =
        error instanceof AgentError &&
        (error.code === "SYSTEM_ALREADY_STOPPED" || error.code === "SYSTEM_NOT_FOUND");
      if (!isGone && !this.isStopped) throw error;
    }
  }
}
