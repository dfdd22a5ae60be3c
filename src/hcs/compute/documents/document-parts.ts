/**
 * The parts of a version 2 document: what of HCS's schema has a meaning for Linux utility VMs
 * and their containers. Everything else is refused by name. Source of names and units: hcsshim,
 * internal/hcs/schema2.
 */
import * as v from "valibot";

const megabytes = v.pipe(v.number(), v.integer(), v.minValue(1));
/** Of the schema: this one is version 2, whatever its minor number. */
export const version = v.strictObject({
  Major: v.literal(2),
  Minor: v.pipe(v.number(), v.integer(), v.minValue(0)),
});
export const text = v.pipe(v.string(), v.minLength(1));
/** A number as the key of an object: "0". */
const index = v.pipe(v.string(), v.regex(/^\d{1,3}$/, "expected a number from 0"));

export const attachment = v.strictObject({
  /** "VirtualDisk" for a disk image, "PassThru" for a disk. */
  Type: v.optional(v.picklist(["VirtualDisk", "PassThru"])),
  /** On this machine. */
  Path: text,
  ReadOnly: v.optional(v.boolean()),
});

export const virtualPMemDevice = v.strictObject({
  /** On this machine. */
  HostPath: text,
  ReadOnly: v.optional(v.boolean()),
  /** "Vhd1" (fixed VHD) or "Default" (raw). */
  ImageFormat: v.optional(v.picklist(["Vhd1", "Default", "Vhdx"])),
});

export const plan9Share = v.strictObject({
  Name: text,
  /** The guest's name for it: the aname of the 9P protocol. Default: Name. */
  AccessName: v.optional(text),
  /** Directory on this machine. */
  Path: text,
  /** Vsock port of the share's server. */
  Port: v.optional(v.number()),
  /** Sum of 1 read only, 4 Linux metadata, 8 case sensitive. */
  Flags: v.optional(v.number()),
  AllowedFiles: v.optional(v.array(v.string())),
});

export const networkAdapter = v.strictObject({
  /** What the adapter is connected to; the driver says what it takes. */
  EndpointId: v.optional(v.string()),
  /** "02-00-00-00-00-01" or with colons. */
  MacAddress: v.optional(text),
});

const devices = v.strictObject({
  /** By the controller's number, "0" to "3", or its GUID. */
  Scsi: v.optional(
    v.record(
      text,
      v.strictObject({
        /** By logical unit number, "0" to "63". */
        Attachments: v.optional(v.record(index, attachment)),
      }),
    ),
  ),
  VirtualPMem: v.optional(
    v.strictObject({
      /** By the device's number: /dev/pmemN in the guest. */
      Devices: v.optional(v.record(index, virtualPMemDevice)),
      /** A document with more devices is refused. */
      MaximumCount: v.optional(v.number()),
      /** Bytes. A larger device is refused. */
      MaximumSizeBytes: v.optional(v.number()),
    }),
  ),
  Plan9: v.optional(v.strictObject({ Shares: v.optional(v.array(plan9Share)) })),
  /** By the adapter's instance id. */
  NetworkAdapters: v.optional(v.record(text, networkAdapter)),
  /** Serial ports by number; the guest's console is "0". */
  ComPorts: v.optional(v.record(index, v.strictObject({ NamedPipe: text }))),
  /** Hosts write it without content: sockets to the guest are always there. */
  HvSocket: v.optional(v.strictObject({})),
});

export const virtualMachine = v.strictObject({
  /** A reset is the end. Default and only choice: true. */
  StopOnReset: v.optional(v.literal(true)),
  Chipset: v.optional(
    v.strictObject({
      UseUtc: v.optional(v.literal(true)),
      LinuxKernelDirect: v.optional(
        v.strictObject({
          /** On this machine. */
          KernelFilePath: text,
          /** On this machine; absent when the root disk is among the devices. */
          InitRdPath: v.optional(v.string()),
          /** Appended to the driver's own; what follows " -- " goes to /init. */
          KernelCmdLine: v.optional(v.string()),
        }),
      ),
    }),
  ),
  ComputeTopology: v.optional(
    v.strictObject({
      Memory: v.optional(
        v.strictObject({
          SizeInMB: megabytes,
          /** The host's memory is taken as the guest touches it. Default and only choice: true. */
          AllowOvercommit: v.optional(v.literal(true)),
          EnableDeferredCommit: v.optional(v.literal(true)),
        }),
      ),
      Processor: v.optional(v.strictObject({ Count: v.pipe(v.number(), v.integer(), v.minValue(1)) })),
    }),
  ),
  Devices: v.optional(devices),
  GuestConnection: v.optional(
    v.strictObject({
      /** The bridge comes over vsock; so it does in any case. */
      UseVsock: v.optional(v.literal(true)),
      /** The bridge stays up while the VM is paused; so it does in any case. */
      UseConnectedSuspend: v.optional(v.literal(true)),
    }),
  ),
});

export const container = v.strictObject({
  GuestOs: v.optional(v.strictObject({ HostName: v.optional(text) })),
  Storage: v.optional(
    v.strictObject({
      /** Read-only layers, the topmost first, by their paths in the utility VM. */
      Layers: v.optional(v.array(v.strictObject({ Id: v.optional(v.string()), Path: text }))),
      /**
       * The root file system: a directory on this machine, which stays as it is: what the container writes is gone
       * with it. With layers: the directory for what is written.
       */
      Path: v.optional(text),
      /** Ours: the container writes to the directory Path itself, where the driver can; default false. */
      ReadWrite: v.optional(v.boolean()),
    }),
  ),
  /** Directories of this machine, where the driver can share them. */
  MappedDirectories: v.optional(
    v.array(v.strictObject({ HostPath: text, ContainerPath: text, ReadOnly: v.optional(v.boolean()) })),
  ),
  Memory: v.optional(v.strictObject({ SizeInMB: megabytes })),
  Processor: v.optional(
    v.strictObject({
      /** Processors; beyond HCS, decimals are shares of one. */
      Count: v.optional(v.pipe(v.number(), v.minValue(0.01))),
      /** Hundredths of a percent of all processors: 1 to 10000. */
      Maximum: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000))),
      /** 1 to 10000, relative to other containers. */
      Weight: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(10_000))),
    }),
  ),
  Networking: v.optional(
    v.strictObject({ /** The guest's network namespace. */ Namespace: v.optional(text) }),
  ),
  /** Beyond HCS: how much of the wall around the container is left standing; by default all of it. */
  Security: v.optional(
    v.strictObject({
      /** linux.seccomp of the OCI runtime specification; by default a profile as strict as Docker's. */
      Seccomp: v.optional(
        v.union(
          [v.literal("unconfined"), v.looseObject({ defaultAction: v.string() })],
          '"unconfined" or a profile',
        ),
      ),
      /** Leaves /proc and /sys as the kernel shows them. */
      SystemPaths: v.optional(v.literal("unconfined")),
      /** Default true. */
      NoNewPrivileges: v.optional(v.boolean()),
      /** Processes and threads; default 4096, -1 for no limit. */
      PidsLimit: v.optional(v.pipe(v.number(), v.integer(), v.minValue(-1))),
    }),
  ),
});

export type VirtualMachineDocument = v.InferOutput<typeof virtualMachine>;
export type ContainerDocument = v.InferOutput<typeof container>;
