import type { GuestProcess } from "../../guest/guest-process.ts";
import type { CallOptions } from "../cow.ts";
import type { CheckedParameters } from "../documents/process-parameters.ts";
import type {
  GuestConnectionInfo,
  MappedVirtualDiskController,
  ProcessProperties,
} from "../documents/schema1.ts";
import type { ModifySettingRequest, SaveOptions } from "../documents/schema2.ts";
import type { RunningVm } from "../drivers/driver.ts";

/** "GracefulExit" when asked to end, "ForcedExit" when forced to, "UnexpectedExit" otherwise. */
export type ExitType = string;

/**
 * What differs between a utility VM and a container in one. Who calls has checked the state: start() comes first and
 * once, until it succeeds; the others only while the system runs, unless stated.
 */
export interface SystemKind {
  readonly type: "VirtualMachine" | "Container";
  readonly hostingSystemId?: string;
  /** Settles when the system has ended. Rejects, with an error that has a code, when how it ended is unknown. */
  readonly exited: Promise<ExitType>;
  /** The VM it is or runs in; absent before it was started. */
  readonly vm: RunningVm | undefined;
  start(options: CallOptions): Promise<void>;
  shutdown(options: CallOptions): Promise<void>;
  /** Also before start() and while it runs. */
  terminate(options: CallOptions): Promise<void>;
  pause(options: CallOptions): Promise<void>;
  resume(options: CallOptions): Promise<void>;
  save(options: SaveOptions & CallOptions): Promise<void>;
  modify(request: ModifySettingRequest, options: CallOptions): Promise<void>;
  createProcess(parameters: CheckedParameters, options: CallOptions): Promise<GuestProcess>;
  processList(options: CallOptions): Promise<ProcessProperties>;
  /** The guest's cgroup metrics. */
  metrics(options: CallOptions): Promise<Readonly<Record<string, unknown>>>;
  /** By number of the SCSI controller. */
  disks(): Readonly<Record<number, MappedVirtualDiskController>>;
  /** Bytes; absent where it is not known. */
  assignedMemory(): number | undefined;
  guestConnection(): GuestConnectionInfo | undefined;
  /** Whether it keeps this program running; default true. Absent: it is the VM that does. */
  setKeepsLoopAlive?(on: boolean): void;
  /** After the end, when nobody has a handle any more: lets go of what is left. Repeated when it has failed. */
  release(): Promise<void>;
}
