import { withDeadline } from "../../common/deadline.ts";
import type * as cow from "./cow.ts";
import type { ContainerProperties, PropertyTypeV1 } from "./documents/schema1.ts";
import type {
  ModifySettingRequest,
  PauseOptions,
  ProcessParameters,
  Properties,
  PropertyTypeV2,
  SaveOptions,
} from "./documents/schema2.ts";
import { ErrAlreadyClosed, ErrNotSupported } from "./error-codes.ts";
import { coded, makeSystemError, SystemError } from "./errors.ts";
import type { WaitOptions } from "./notification-hub.ts";
import type { HcsNotification } from "./notifications.ts";
import { Process } from "./process.ts";
import { propertiesOf, propertiesV2Of } from "./properties.ts";
import type { SystemRecord } from "./system-record.ts";

/**
 * A handle to a compute system: a utility VM or a container in one; hcsshim's hcs.System. Every method throws
 * SystemError, unless stated; once the handle is closed with ErrAlreadyClosed (isAlreadyClosed). `signal` ends a
 * call, with an error whose causes hold the signal's reason.
 */
export class System implements cow.Container {
  readonly id: string;
  /** "linux". */
  readonly os = "linux";
  readonly #record: SystemRecord;
  readonly #onClose: (handle: System) => void;
  readonly #closed = Promise.withResolvers<void>();
  readonly #ended = new AbortController();
  readonly #outcome: Promise<void>;
  #waitError: SystemError | undefined;
  #isClosed = false;
  #closing: Promise<void> | undefined;

  /** For the compute service: see createComputeSystem and openComputeSystem. */
  constructor(record: SystemRecord, onClose: (handle: System) => void = () => undefined) {
    this.id = record.id;
    this.#record = record;
    this.#onClose = onClose;
    record.addHandle();
    const closed = this.#closed.promise.then(() => {
      throw new SystemError(this.id, "hcs::System::Wait", ErrAlreadyClosed);
    });
    this.#outcome = Promise.race([record.exited, closed]);
    this.#outcome.then(
      () => this.#ended.abort(),
      (error: SystemError) => {
        this.#waitError = error;
        this.#ended.abort(error);
      },
    );
  }

  /** Whether processes are created as OCI processes: for a container, not for a utility VM. */
  get isOCI(): boolean {
    return this.#record.kind.type === "Container";
  }

  /** Starts it and waits until it runs. @throws ErrVmcomputeOperationInvalidState when it was started before */
  async start(options: cow.CallOptions = {}): Promise<void> {
    await this.#call("Start", () => this.#record.start(options));
  }

  /** Asks it to end: a VM to power off, a container's init with SIGTERM. Does nothing once it has stopped. */
  async shutdown(options: cow.CallOptions = {}): Promise<void> {
    if (this.#isClosed) return;
    await this.#call("Shutdown", () => this.#record.shutdown(options));
  }

  /** Ends it by force. Does nothing once it has stopped. */
  async terminate(options: cow.CallOptions = {}): Promise<void> {
    if (this.#isClosed) return;
    await this.#call("Terminate", () => this.#record.terminate(options));
  }

  /**
   * Waits for the end, by whatever reason; exitError tells of an unexpected one, properties of the kind.
   * @throws SystemError ErrVmcomputeUnexpectedExit when a VM died, ErrUnexpectedProcessAbort when a container's guest
   *   was lost, ErrAlreadyClosed
   */
  async wait(options: cow.CallOptions = {}): Promise<void> {
    try {
      await withDeadline(this.#outcome, `waiting for system ${this.id}`, options);
    } catch (thrown) {
      throw makeSystemError(this.id, "hcs::System::Wait", thrown);
    }
  }

  /** Aborts when wait() settles; its reason is waitError(), if there is one. */
  get waitChannel(): AbortSignal {
    return this.#ended.signal;
  }

  waitError(): Error | undefined {
    return this.#waitError;
  }

  /** Why it ended; undefined after an ordinary end. @throws SystemError while it has not ended */
  exitError(): Error | undefined {
    if (!this.#ended.signal.aborted) {
      throw new SystemError(this.id, "hcs::System::ExitError", new Error("the system has not exited"));
    }
    return this.#waitError ?? this.#record.exitError;
  }

  /** Waits until something has happened to the system since it was created: see NotificationHub.wait for the errors. */
  async waitForNotification(type: HcsNotification, options: WaitOptions = {}): Promise<void> {
    await this.#call("WaitForNotification", () =>
      this.#record.notifications.wait(type, this.#closed.promise, options),
    );
  }

  /** @param types what besides the basics; see schema1.ts */
  async properties(
    types: readonly PropertyTypeV1[] = [],
    options: cow.CallOptions = {},
  ): Promise<ContainerProperties> {
    return await this.#call("Properties", () => propertiesOf(this.#record, types, options));
  }

  /** @param types what besides the basics; see schema2.ts */
  async propertiesV2(
    types: readonly PropertyTypeV2[] = [],
    options: cow.CallOptions = {},
  ): Promise<Properties> {
    return await this.#call("PropertiesV2", () => propertiesV2Of(this.#record, types, options));
  }

  /** Stops its processors, or freezes its processes where there are none of its own. */
  async pause(options: PauseOptions & cow.CallOptions = {}): Promise<void> {
    await this.#call("Pause", async () => {
      const level = options.SuspensionLevel ?? "Suspend";
      if (level !== "Suspend")
        throw coded(ErrNotSupported, `SuspensionLevel ${level}: only Suspend is known`);
      await this.#record.pause(options);
    });
  }

  async resume(options: cow.CallOptions = {}): Promise<void> {
    await this.#call("Resume", () => this.#record.resume(options));
  }

  /** Saves the paused system. @throws ErrNotSupported where the driver cannot */
  async save(options: SaveOptions & cow.CallOptions = {}): Promise<void> {
    await this.#call("Save", () => this.#record.save(options));
  }

  /** Changes the host's part, the guest's or both; of what was added and failed in the guest nothing is left. */
  async modify(request: ModifySettingRequest, options: cow.CallOptions = {}): Promise<void> {
    await this.#call("Modify", async () => {
      this.#record.expectRunning("modify");
      await this.#record.kind.modify(request, options);
    });
  }

  /** In a container the first one starts init. @throws SystemError; see ProcessParameters for what can be given */
  async createProcess(parameters: ProcessParameters = {}, options: cow.CallOptions = {}): Promise<Process> {
    return await this.#call("CreateProcess", async () => {
      return new Process(await this.#record.createProcess(parameters, options), { ownsStdio: true });
    });
  }

  /** Another handle to a process created in this system. @throws ErrElementNotFound */
  async openProcess(pid: number): Promise<Process> {
    return await this.#call("OpenProcess", async () => {
      return new Process(this.#record.process(pid), { ownsStdio: false });
    });
  }

  /** When it was started and when it ended; milliseconds since 1970. */
  get startedTime(): number | undefined {
    return this.#record.startedAt;
  }

  get stoppedTime(): number | undefined {
    return this.#record.stoppedAt;
  }

  /**
   * Gives up the handle; the system lives on, unless its document said otherwise. Who waits is told ErrAlreadyClosed.
   * @throws SystemError when what is left of a system that has ended could not be removed: the handle is closed, the
   *   system stays known, and the next call tries again, as does close() of another handle or of the service
   */
  close(): Promise<void> {
    this.#closing ??= this.#close().catch((thrown: unknown) => {
      this.#closing = undefined;
      throw thrown;
    });
    return this.#closing;
  }

  /** For `await using`: close(). */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true;
      this.#closed.resolve();
      this.#onClose(this);
      this.#record.removeHandle();
    }
    try {
      await this.#record.releaseUnused();
    } catch (thrown) {
      throw makeSystemError(this.id, "hcs::System::Close", thrown);
    }
  }

  async #call<T>(name: string, run: () => Promise<T>): Promise<T> {
    const op = `hcs::System::${name}`;
    if (this.#isClosed) throw new SystemError(this.id, op, ErrAlreadyClosed);
    try {
      return await run();
    } catch (thrown) {
      throw makeSystemError(this.id, op, thrown);
    }
  }
}
