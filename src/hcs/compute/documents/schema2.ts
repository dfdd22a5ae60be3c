/**
 * Types of HCS's version 2 schema that are not read from a document (see document.ts), names as they stand in its
 * JSON. Source: hcsshim, internal/hcs/schema2, and
 * https://learn.microsoft.com/virtualization/api/hcs/schemareference
 */
import type { OciProcess, OciSpec } from "../../../protocol/schemas/oci.ts";
import type { ExactInteger } from "./exact-integer.ts";
import type { GuestConnectionInfo, MemoryStats, ProcessorStats, StorageStats } from "./schema1.ts";

export const PROPERTY_TYPES_V2 = [
  "Memory",
  "Statistics",
  "ProcessList",
  "TerminateOnLastHandleClosed",
  "GuestConnection",
  "SystemGUID",
] as const;
export type PropertyTypeV2 = (typeof PROPERTY_TYPES_V2)[number];

export interface Properties {
  readonly Id: string;
  /** "Container" or "VirtualMachine". */
  readonly SystemType: string;
  readonly RuntimeOsType: string;
  readonly Name?: string;
  readonly Owner?: string;
  readonly RuntimeId?: string;
  readonly SystemGUID?: string;
  /** "Created", "Running", "Paused" or "Stopped". */
  readonly State: string;
  readonly Stopped?: boolean;
  /** How it ended: "GracefulExit", "ForcedExit" or "UnexpectedExit". */
  readonly ExitType?: string;
  readonly Memory?: { readonly VirtualMachineMemory: { readonly AssignedMemory: number } };
  readonly Statistics?: StatisticsV2;
  readonly ProcessList?: readonly ProcessDetails[];
  /** How many there are, where ProcessList has only the first of them; not in HCS. */
  readonly ProcessCount?: number;
  readonly TerminateOnLastHandleClosed?: boolean;
  readonly HostingSystemId?: string;
  readonly GuestConnectionInfo?: GuestConnectionInfo;
  /** The guest's cgroup metrics, names as in containerd's cgroup v1 metrics; integers as ExactInteger. */
  readonly LCOWMetrics?: Readonly<Record<string, unknown>>;
}

/** Times in units of 100 nanoseconds, sizes in bytes. Integers are exact: see ExactInteger. */
export interface StatisticsV2 {
  /** RFC 3339. */
  readonly Timestamp: string;
  readonly ContainerStartTime?: string;
  readonly Uptime100ns?: ExactInteger;
  readonly Processor: ProcessorStats;
  readonly Memory: MemoryStats;
  readonly Storage: StorageStats;
}

export interface ProcessDetails {
  readonly ProcessId: number;
}

/** What to ask of the compute service itself. */
export interface ServicePropertyQuery {
  /** "Basic"; absent means that. */
  readonly PropertyTypes?: readonly string[];
}

export interface ServiceProperties {
  /** One entry for each property asked for, in that order. */
  readonly Properties: readonly unknown[];
}

export interface ModificationRequest {
  readonly PropertyType: string;
  readonly Settings?: unknown;
}

export interface ModifySettingRequest {
  /** What of the host's part to change: "VirtualMachine/Devices/Scsi/0/Attachments/1". Absent: only the guest's part. */
  readonly ResourcePath?: string;
  /** "Add", "Remove" or "Update"; absent means Add. */
  readonly RequestType?: string;
  readonly Settings?: unknown;
  /** What of the guest to change: a request of the bridge's ModifySettings. */
  readonly GuestRequest?: {
    readonly RequestType?: string;
    readonly ResourceType: string;
    readonly Settings?: unknown;
  };
}

/** How to run a process: hcsshim's schema2.ProcessParameters with what internal/lcow adds for Linux. */
export interface ProcessParameters {
  /**
   * Instead of CommandArgs. In a container its shell runs it (`/bin/sh -c`), with all that a shell can. In the utility
   * VM the guest splits it by a shell's quoting rules and runs the program: no variables, patterns, pipes.
   */
  readonly CommandLine?: string;
  readonly CommandArgs?: readonly string[];
  /** "UID[:GID]" or "NAME[:GROUP]". */
  readonly User?: string;
  /** Ours: names or numbers of groups beside the user's own. */
  readonly AdditionalGroups?: readonly string[];
  readonly WorkingDirectory?: string;
  readonly Environment?: Readonly<Record<string, string>>;
  /** A terminal; then there is no stderr of its own. */
  readonly EmulateConsole?: boolean;
  readonly CreateStdInPipe?: boolean;
  readonly CreateStdOutPipe?: boolean;
  readonly CreateStdErrPipe?: boolean;
  /** Height, then width; characters. */
  readonly ConsoleSize?: readonly [number, number] | readonly number[];
  /** Outside the container, in its utility VM. */
  readonly CreateInUtilityVm?: boolean;
  /** The process as the OCI runtime specification has it; instead of the fields above down to Environment. */
  readonly OCIProcess?: OciProcess;
  /** For the first process of a container that was created without one: the whole specification. */
  readonly OCISpecification?: OciSpec;
}

/** How to save a system. */
export interface SaveOptions {
  /** "ToFile" or "AsTemplate". */
  readonly SaveType?: string;
  readonly SaveStateFilePath?: string;
}

/** How to pause a system. */
export interface PauseOptions {
  readonly SuspensionLevel?: string;
}
