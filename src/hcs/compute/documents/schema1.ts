/**
 * Types of HCS's version 1 schema, names as they stand in its JSON. Source: hcsshim, internal/hcs/schema1.
 * Unless stated otherwise a field that is absent means 0, false or "". All of it is what JSON.stringify() prints.
 */
import type { ExactInteger } from "./exact-integer.ts";

/** Which systems: those that fit every list given. An empty query means all. */
export interface ComputeSystemQuery {
  readonly Ids?: readonly string[];
  /** "Container" or "VirtualMachine". */
  readonly Types?: readonly string[];
  readonly Names?: readonly string[];
  readonly Owners?: readonly string[];
}

export const PROPERTY_TYPES_V1 = [
  "Statistics",
  "ProcessList",
  "MappedVirtualDisk",
  "GuestConnection",
] as const;
export type PropertyTypeV1 = (typeof PROPERTY_TYPES_V1)[number];

export interface ContainerProperties {
  readonly Id: string;
  /** "Created", "Running", "Paused" or "Stopped". */
  readonly State: string;
  readonly Name: string;
  /** "Container" or "VirtualMachine". */
  readonly SystemType: string;
  /** "Linux". */
  readonly RuntimeOsType?: string;
  readonly Owner: string;
  readonly RuntimeId?: string;
  readonly IsRuntimeTemplate?: boolean;
  readonly RuntimeImagePath?: string;
  readonly Stopped?: boolean;
  /** How it ended: "GracefulExit", "ForcedExit" or "UnexpectedExit". */
  readonly ExitType?: string;
  readonly AreUpdatesPending?: boolean;
  readonly Statistics?: Statistics;
  readonly ProcessList?: readonly ProcessListItem[];
  /** How many there are, where ProcessList has only the first of them; not in HCS. */
  readonly ProcessCount?: number;
  /** By the number of the SCSI controller. */
  readonly MappedVirtualDiskControllers?: Readonly<Record<number, MappedVirtualDiskController>>;
  readonly GuestConnectionInfo?: GuestConnectionInfo;
}

/** Times in units of 100 nanoseconds, sizes in bytes. Integers are exact: see ExactInteger. */
export interface Statistics {
  /** RFC 3339. */
  readonly Timestamp: string;
  /** RFC 3339. */
  readonly ContainerStartTime?: string;
  readonly Uptime100ns?: ExactInteger;
  readonly Memory: MemoryStats;
  readonly Processor: ProcessorStats;
  readonly Storage: StorageStats;
  readonly Network?: readonly NetworkStats[];
}

/** Bytes. */
export interface MemoryStats {
  readonly MemoryUsageCommitBytes?: ExactInteger;
  readonly MemoryUsageCommitPeakBytes?: ExactInteger;
  readonly MemoryUsagePrivateWorkingSetBytes?: ExactInteger;
}

/** Units of 100 nanoseconds. */
export interface ProcessorStats {
  readonly TotalRuntime100ns?: ExactInteger;
  readonly RuntimeUser100ns?: ExactInteger;
  readonly RuntimeKernel100ns?: ExactInteger;
}

export interface StorageStats {
  readonly ReadCountNormalized?: ExactInteger;
  readonly ReadSizeBytes?: ExactInteger;
  readonly WriteCountNormalized?: ExactInteger;
  readonly WriteSizeBytes?: ExactInteger;
}

export interface NetworkStats {
  readonly BytesReceived?: ExactInteger;
  readonly BytesSent?: ExactInteger;
  readonly PacketsReceived?: ExactInteger;
  readonly PacketsSent?: ExactInteger;
  readonly DroppedPacketsIncoming?: ExactInteger;
  readonly DroppedPacketsOutgoing?: ExactInteger;
  readonly EndpointId?: string;
  readonly InstanceId?: string;
}

/** What a system tells of its processes. */
export type ProcessProperties = Pick<ContainerProperties, "ProcessCount"> & {
  readonly ProcessList: readonly ProcessListItem[];
};

/** A Linux guest tells ProcessId only. */
export interface ProcessListItem {
  readonly ProcessId: number;
  readonly CreateTimestamp?: string;
  readonly ImageName?: string;
  readonly KernelTime100ns?: number;
  readonly MemoryCommitBytes?: number;
  readonly MemoryWorkingSetPrivateBytes?: number;
  readonly MemoryWorkingSetSharedBytes?: number;
  readonly UserTime100ns?: number;
}

export interface MappedVirtualDisk {
  /** Path of the disk's file on the host. */
  readonly HostPath?: string;
  /** Where it is mounted. */
  readonly ContainerPath: string;
  /** Mounted in the utility VM rather than in the container. */
  readonly CreateInUtilityVM?: boolean;
  readonly ReadOnly?: boolean;
  /** "", "Disabled", "Enabled", "Private" or "PrivateAllowSharing". */
  readonly Cache?: string;
  /** Attached and not mounted. */
  readonly AttachOnly?: boolean;
}

export interface MappedVirtualDiskController {
  /** By logical unit number. */
  readonly MappedVirtualDisks?: Readonly<Record<number, MappedVirtualDisk>>;
}

/** What version 1's modify takes: hcsshim's ResourceModificationRequestResponse. */
export interface ResourceModificationRequestResponse {
  /** "Network". */
  readonly ResourceType: string;
  readonly Settings: unknown;
  /** "Add" or "Remove"; absent means Add. */
  readonly RequestType?: string;
}

export interface Version {
  readonly Major: number;
  readonly Minor: number;
}

export interface GuestConnectionInfo {
  readonly SupportedSchemaVersions: readonly Version[];
  readonly ProtocolVersion: number;
  readonly GuestDefinedCapabilities: Readonly<Record<string, boolean>>;
}
