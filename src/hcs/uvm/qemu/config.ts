/** What a virtual machine is made of. */
export interface QemuConfig {
  /** bzImage, or an ELF file with a PVH entry (vmlinux), which starts without unpacking itself first. */
  readonly kernel: string;
  readonly initrd?: string;
  /** Added to the kernel's command line before `--`: "quiet root=/dev/sda ro". */
  readonly kernelArguments?: readonly string[];
  /** What /init gets: everything after `--` on the kernel's command line. No blanks within one. */
  readonly initArguments?: readonly string[];
  /** MiB, at least 256, and no more than this machine has; default 512. */
  readonly memoryMiB?: number;
  /** Virtual CPUs, as many as this machine has at most; default 2 under KVM, 1 emulated. */
  readonly cpus?: number;
  readonly disks?: readonly Disk[];
  readonly nics?: readonly Nic[];
  /** Persistent memory: /dev/pmem0 and so on in the guest, in this order. */
  readonly persistentMemory?: readonly PersistentMemory[];
  /** Makes room for network cards and memory that are added while the machine runs. Default false. */
  readonly hotplug?: boolean;
  /** Default "auto": KVM where it really runs a guest, else TCG (emulation). */
  readonly accelerator?: "auto" | "kvm" | "tcg";
  /** Default "auto": vsock where this machine has /dev/vhost-vsock, else the forwarder in the guest. */
  readonly transport?: "auto" | "vsock" | "forwarder";
  /** Gets a copy of the guest's console: at most 16 MiB, and as much before that in FILE.1. */
  readonly consoleFile?: string;
  /** Milliseconds from start() until the guest can be talked to; default 60 000. */
  readonly bootTimeoutMs?: number;
  /** Default: qemu-system-x86_64 from the PATH. */
  readonly qemu?: string;
}

/** A virtio-scsi disk. */
export interface Disk {
  readonly path: string;
  /** Default raw. vpc is VHD. A qcow2's backing file is not used, and one with a data file of its own is refused. */
  readonly format?: "raw" | "qcow2" | "vpc" | "vhdx";
  /** Default false. */
  readonly readonly?: boolean;
  /** SCSI controller, 0 to 3; default 0. */
  readonly controller?: number;
  /** SCSI logical unit, 0 to 63. */
  readonly lun: number;
}

/** A file that the guest has in its memory: virtio-pmem. */
export interface PersistentMemory {
  readonly path: string;
  /** How much of the file the guest sees: a multiple of 2 MiB. */
  readonly bytes: number;
  /** Default false: what the guest writes goes to the file. If true, it is lost. */
  readonly readonly?: boolean;
}

/** A virtio-net card. */
export interface Nic {
  /** Colon-separated. */
  readonly mac: string;
  /** "user": QEMU's own NAT, reaching what this machine reaches, its own loopback included; "isolated": neither. */
  readonly backend:
    | { readonly type: "user" | "isolated" }
    | { readonly type: "tap"; readonly interface: string };
}

/** What QEMU's interrupt controller for a guest without x2APIC counts. */
export const MAXIMUM_CPUS = 255;
export const DEFAULT_MEMORY_MIB = 512;
export const CONTROLLERS = 4;
export const LUNS = 64;
/** How many network cards can be added to a running machine. */
export const HOTPLUG_PORTS = 4;
/** How many times memory can be added, and up to how much in all; MiB. */
export const MEMORY_SLOTS = 8;
export const MAXIMUM_MEMORY_MIB = 64 * 1024;
