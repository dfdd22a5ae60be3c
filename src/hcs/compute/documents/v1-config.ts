/**
 * Version 1's description of a container: every field of hcsshim's ContainerConfig (internal/hcs/schema1). Those
 * without a meaning for Linux containers, or on this platform, are known by name and refused when they are set.
 */
import { basename } from "node:path";
import * as v from "valibot";
import { AgentError } from "../../../common/errors.ts";
import { builtImage, imageDirectory } from "../../uvm/qemu/built-image.ts";
import type { ContainerDocument, VirtualMachineDocument } from "./document-parts.ts";
import type { MappedVirtualDisk } from "./schema1.ts";
import { parseStrictly } from "./strict.ts";

const count = v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)));
const text = v.optional(v.string());
const flag = v.optional(v.boolean());

/** Zero, false, "" or empty: what Go's hosts write for a field they do not use. */
function unused(why: string) {
  return v.optional(v.pipe(v.unknown(), v.check(isEmpty, why)));
}

function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined) return true;
  if (Array.isArray(value)) return value.length === 0;
  return value === 0 || value === false || value === "";
}

const WINDOWS = "has a meaning for Windows containers only";
const NO_QUOTA = "is no limit that a Linux utility VM can keep";
const NO_NETWORK = "is not supported: the driver makes no networks";

const mappedDirectory = v.strictObject({
  /** Directory on this machine. */
  HostPath: v.string(),
  ContainerPath: v.string(),
  ReadOnly: flag,
  BandwidthMaximum: unused(NO_QUOTA),
  IOPSMaximum: unused(NO_QUOTA),
  CreateInUtilityVM: unused("is not supported; map it into the container"),
  /** Owners and modes are kept; so they are in any case. */
  LinuxMetadata: flag,
});

const mappedVirtualDisk = v.strictObject({
  /** Disk image on this machine. */
  HostPath: text,
  ContainerPath: v.string(),
  CreateInUtilityVM: flag,
  ReadOnly: flag,
  Cache: unused("is not supported: the host caches as it sees fit"),
  AttachOnly: flag,
});

const hvRuntime = v.strictObject({
  /** Directory of the files below. Default: where `npm run image` puts its own. */
  ImagePath: text,
  SkipTemplate: unused(WINDOWS),
  /** Default "initrd.img". */
  LinuxInitrdFile: text,
  /** Default "kernel"; without an ImagePath "vmlinux". */
  LinuxKernelFile: text,
  /** Added to the kernel's command line. */
  LinuxBootParameters: text,
  /** "Vhd": the root is the disk uvm.vhd instead of the initrd. */
  BootSource: v.optional(v.picklist(["", "Vhd"])),
  /** With "Vhd": the guest may write to it. */
  WritableBootSource: flag,
});

const containerConfig = v.strictObject({
  SystemType: v.optional(v.literal("Container")),
  Name: text,
  Owner: text,
  VolumePath: unused(WINDOWS),
  IgnoreFlushesDuringBoot: unused(WINDOWS),
  LayerFolderPath: unused(WINDOWS),
  /** Read-only layers, the topmost first, by their paths in the utility VM. */
  Layers: v.optional(v.nullable(v.array(v.strictObject({ ID: text, Path: v.string() })))),
  Credentials: unused(WINDOWS),
  ProcessorCount: count,
  /** 1 to 10000, relative to other containers; 0 for the default. */
  ProcessorWeight: count,
  /** Hundredths of a percent of all processors, 1 to 10000; 0 for no limit. */
  ProcessorMaximum: count,
  StorageIOPSMaximum: unused(NO_QUOTA),
  StorageBandwidthMaximum: unused(NO_QUOTA),
  StorageSandboxSize: unused(NO_QUOTA),
  MemoryMaximumInMB: count,
  HostName: text,
  MappedDirectories: v.optional(v.nullable(v.array(mappedDirectory))),
  MappedPipes: unused(WINDOWS),
  /** A Linux container always has a utility VM. */
  HvPartition: v.optional(v.literal(true)),
  NetworkSharedContainerName: unused(NO_NETWORK),
  /** A network adapter of the VM for each; the driver says what it takes. */
  EndpointList: v.optional(v.nullable(v.array(v.string()))),
  HvRuntime: v.optional(v.nullable(hvRuntime)),
  Servicing: unused(WINDOWS),
  AllowUnqualifiedDNSQuery: unused(NO_NETWORK),
  DNSSearchList: unused(NO_NETWORK),
  ContainerType: v.literal("Linux"),
  TerminateOnLastHandleClosed: flag,
  MappedVirtualDisks: v.optional(v.nullable(v.array(mappedVirtualDisk))),
  AssignedDevices: unused("is not supported: devices of the host are not passed on"),
});

/** What version 1's createContainer takes. */
export type ContainerConfig = Omit<v.InferInput<typeof containerConfig>, "SystemType"> & {
  readonly SystemType?: "Container";
};

export interface ParsedV1 {
  readonly name: string | undefined;
  readonly owner: string;
  readonly terminateOnLastHandleClosed: boolean;
  readonly vm: VirtualMachineDocument;
  readonly container: ContainerDocument;
  /** What is mounted once the VM runs. */
  readonly disks: readonly V1Disk[];
}

export interface V1Disk extends MappedVirtualDisk {
  readonly controller: number;
  readonly lun: number;
}

/** Guests need this much beside what the container may use; MiB. */
const GUEST_MEMORY_MB = 256;
/** The boot disk's address, when there is one. */
const BOOT_DISK = { controller: 0, lun: 0 };

/** @throws AgentError INVALID_JSON naming the field that is not known, wrong, or set without a meaning here */
export function parseContainerConfig(config: unknown): ParsedV1 {
  const parsed = parseStrictly(containerConfig, config, "container config");
  const disks = (parsed.MappedVirtualDisks ?? []).map(
    (disk, index): V1Disk => ({
      ContainerPath: disk.ContainerPath,
      ...(disk.HostPath !== undefined && { HostPath: disk.HostPath }),
      ReadOnly: disk.ReadOnly === true,
      CreateInUtilityVM: disk.CreateInUtilityVM === true,
      AttachOnly: disk.AttachOnly === true,
      controller: BOOT_DISK.controller,
      lun: BOOT_DISK.lun + 1 + index,
    }),
  );
  return {
    name: parsed.Name || undefined,
    owner: parsed.Owner ?? "",
    terminateOnLastHandleClosed: parsed.TerminateOnLastHandleClosed === true,
    vm: vmDocument(parsed, disks),
    container: containerDocument(parsed),
    disks,
  };
}

type Config = v.InferOutput<typeof containerConfig>;

function vmDocument(config: Config, disks: readonly V1Disk[]): VirtualMachineDocument {
  const { HvRuntime, MemoryMaximumInMB, ProcessorCount, EndpointList } = config;
  const runtime = HvRuntime ?? {};
  // Without a directory, the image that was built here; never whatever lies in the working directory.
  const inImage = (file: string) => `${runtime.ImagePath || imageDirectory()}/${file}`;
  const kernelFile =
    runtime.LinuxKernelFile || (runtime.ImagePath ? "kernel" : basename(builtImage().kernel));
  const bootsFromDisk = runtime.BootSource === "Vhd";
  const attachments = Object.fromEntries(
    disks.map(({ lun, HostPath, ReadOnly }) => {
      if (!HostPath)
        throw new AgentError("INVALID_JSON", "container config: MappedVirtualDisks: HostPath is missing");
      return [String(lun), { Type: "VirtualDisk" as const, Path: HostPath, ReadOnly: ReadOnly === true }];
    }),
  );
  if (bootsFromDisk) {
    const ReadOnly = runtime.WritableBootSource !== true;
    attachments[BOOT_DISK.lun] = { Type: "VirtualDisk", Path: inImage("uvm.vhd"), ReadOnly };
  }
  const rootArguments = `root=/dev/sda ${runtime.WritableBootSource === true ? "rw" : "ro"} rootwait init=/init`;
  const commandLine = [bootsFromDisk ? rootArguments : "", runtime.LinuxBootParameters ?? ""]
    .filter((part) => part !== "")
    .join(" ");
  return {
    ...(HvRuntime && {
      Chipset: {
        LinuxKernelDirect: {
          KernelFilePath: inImage(kernelFile),
          ...(!bootsFromDisk && { InitRdPath: inImage(runtime.LinuxInitrdFile || "initrd.img") }),
          ...(commandLine !== "" && { KernelCmdLine: commandLine }),
        },
      },
    }),
    ComputeTopology: {
      ...(MemoryMaximumInMB && { Memory: { SizeInMB: MemoryMaximumInMB + GUEST_MEMORY_MB } }),
      ...(ProcessorCount && { Processor: { Count: ProcessorCount } }),
    },
    Devices: {
      ...(Object.keys(attachments).length > 0 && { Scsi: { "0": { Attachments: attachments } } }),
      ...(EndpointList?.length && {
        NetworkAdapters: Object.fromEntries(EndpointList.map((EndpointId) => [EndpointId, { EndpointId }])),
      }),
    },
  };
}

function containerDocument(config: Config): ContainerDocument {
  const { HostName, Layers, MappedDirectories, MemoryMaximumInMB } = config;
  const { ProcessorCount, ProcessorMaximum, ProcessorWeight } = config;
  const limitsTime = ProcessorMaximum ? { Maximum: ProcessorMaximum } : {};
  const limit = ProcessorCount && !ProcessorMaximum ? { Count: ProcessorCount } : limitsTime;
  return {
    ...(HostName && { GuestOs: { HostName } }),
    ...(Layers?.length && { Storage: { Layers: Layers.map(({ ID: Id, Path }) => ({ Id, Path })) } }),
    ...(MappedDirectories?.length && {
      MappedDirectories: MappedDirectories.map(({ HostPath, ContainerPath, ReadOnly }) => ({
        HostPath,
        ContainerPath,
        ReadOnly,
      })),
    }),
    ...(MemoryMaximumInMB && { Memory: { SizeInMB: MemoryMaximumInMB } }),
    Processor: { ...limit, ...(ProcessorWeight && { Weight: ProcessorWeight }) },
  };
}
