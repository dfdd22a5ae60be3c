/**
 * The OCI spec that the host side makes for a container when the caller brings none: what a container engine
 * gives an unprivileged container. Field names: https://github.com/opencontainers/runtime-spec
 */
import { defaultSeccomp } from "./default-seccomp.ts";

/** `linux.seccomp` of the OCI runtime specification. */
export interface SeccompProfile {
  readonly defaultAction: string;
  readonly [field: string]: unknown;
}

/** How much of the wall around a container is left standing; all of it by default. */
export interface SecuritySettings {
  /** A profile in the runtime specification's form; by default default-seccomp.ts. */
  readonly seccomp?: "unconfined" | SeccompProfile;
  /** Leaves /proc and /sys as the kernel shows them, writable where it lets root write. */
  readonly systemPaths?: "unconfined";
  /** Default true: no program gains privileges by its file's mode or capabilities. */
  readonly noNewPrivileges?: boolean;
  /** Processes and threads; default DEFAULT_PIDS_LIMIT, -1 for no limit. */
  readonly pidsLimit?: number;
}

/** More than a busy server needs; a fork bomb ends there. */
export const DEFAULT_PIDS_LIMIT = 4096;

export interface ContainerSettings {
  readonly args: readonly string[];
  /** Absolute path of the root file system, as the guest sees it. */
  readonly rootPath: string;
  /** Default false: the container writes to the root. */
  readonly rootReadonly?: boolean;
  /** Directories of the root that become empty tmpfs mounts, so that a read-only root has room to write. */
  readonly temporaryDirectories?: readonly string[];
  readonly terminal?: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number };
  /** NAME=VALUE; wins over the defaults PATH, HOSTNAME and, with a terminal, TERM. The runtime adds HOME. */
  readonly environment?: readonly string[];
  /** Default "/". Made by the runtime where it is missing. */
  readonly workingDirectory?: string;
  /** "UID[:GID]" or "NAME[:GROUP]", which the guest looks up in the root's /etc/passwd and /etc/group. Default root. */
  readonly user?: string;
  /** Names or numbers of groups beside the user's own, looked up in the same way. */
  readonly additionalGroups?: readonly string[];
  readonly hostname?: string;
  /** Bytes. */
  readonly memoryLimit?: number;
  /** Processors; 0.5 is half of one's time. */
  readonly cpuLimit?: number;
  /** Hard limit of RLIMIT_NOFILE; the soft one is 1024. Default 1048576, the kernel's own ceiling. */
  readonly maximumOpenFiles?: number;
  /** A cgroup namespace: where the guest has cgroup v2 alone. */
  readonly cgroupNamespace?: boolean;
  readonly security?: SecuritySettings;
  /** Of the guest, in Node's words. Default: this machine's. */
  readonly architecture?: "x64" | "arm64";
}

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What Docker and containerd leave to a container's root user. */
const CAPABILITIES = [
  "CAP_AUDIT_WRITE",
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_MKNOD",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_RAW",
  "CAP_SETFCAP",
  "CAP_SETGID",
  "CAP_SETPCAP",
  "CAP_SETUID",
  "CAP_SYS_CHROOT",
];

/** Files that tell about, or reach into, the kernel that all containers share: Docker's, and those of addresses. */
const MASKED_PATHS = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kallsyms",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/pagetypeinfo",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/slabinfo",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/vmallocinfo",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];

const READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

const DEVICE_FREE = ["nosuid", "noexec", "nodev"];

const MOUNTS = [
  { destination: "/proc", type: "proc", source: "proc", options: DEVICE_FREE },
  {
    destination: "/dev",
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
  },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  {
    destination: "/dev/shm",
    type: "tmpfs",
    source: "shm",
    options: [...DEVICE_FREE, "mode=1777", "size=65536k"],
  },
  { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: DEVICE_FREE },
  { destination: "/sys", type: "sysfs", source: "sysfs", options: [...DEVICE_FREE, "ro"] },
  {
    destination: "/sys/fs/cgroup",
    type: "cgroup",
    source: "cgroup",
    options: [...DEVICE_FREE, "relatime", "ro"],
  },
];

export function makeDefaultSpec(settings: ContainerSettings) {
  const hard = settings.maximumOpenFiles ?? 1024 * 1024;
  const { seccomp, systemPaths, noNewPrivileges = true, pidsLimit } = settings.security ?? {};
  const architecture = settings.architecture ?? (process.arch === "arm64" ? "arm64" : "x64");
  return {
    ociVersion: "1.0.2",
    process: {
      ...(settings.terminal === true && { terminal: true }),
      ...(settings.consoleSize !== undefined && { consoleSize: settings.consoleSize }),
      user: {
        uid: 0,
        gid: 0,
        ...(settings.user !== undefined && { username: settings.user }),
        ...(settings.additionalGroups?.length && { additionalGroups: settings.additionalGroups }),
      },
      args: settings.args,
      env: makeEnvironment(settings),
      cwd: settings.workingDirectory ?? "/",
      // No inheritable and no ambient ones: another user than root has none after execve.
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      rlimits: [{ type: "RLIMIT_NOFILE", soft: Math.min(1024, hard), hard }],
      noNewPrivileges,
    },
    root: { path: settings.rootPath, readonly: settings.rootReadonly === true },
    ...(settings.hostname !== undefined && { hostname: settings.hostname }),
    mounts: [...MOUNTS, ...(settings.temporaryDirectories ?? []).map(makeTmpfs)],
    linux: {
      resources: {
        // The runtime allows null, zero, full, random, urandom, tty and the terminals on top of this.
        devices: [{ allow: false, access: "rwm" }],
        pids: { limit: pidsLimit ?? DEFAULT_PIDS_LIMIT },
        ...(settings.memoryLimit !== undefined && { memory: { limit: settings.memoryLimit } }),
        ...(settings.cpuLimit !== undefined && { cpu: cpuQuota(settings.cpuLimit) }),
      },
      namespaces: [
        { type: "pid" },
        { type: "network" },
        { type: "ipc" },
        { type: "uts" },
        { type: "mount" },
        ...(settings.cgroupNamespace === true ? [{ type: "cgroup" }] : []),
      ],
      ...(systemPaths !== "unconfined" && { maskedPaths: MASKED_PATHS, readonlyPaths: READONLY_PATHS }),
      ...(seccomp !== "unconfined" && { seccomp: seccomp ?? defaultSeccomp(architecture) }),
    },
  };
}

/** Microseconds: the kernel's default period, and the least quota that it takes; sched-bwc.rst in Linux. */
const CPU_PERIOD = 100_000;
const LEAST_CPU_QUOTA = 1_000;

/** @param processors how much time of how many */
export function cpuQuota(processors: number): { period: number; quota: number } {
  return { period: CPU_PERIOD, quota: Math.max(LEAST_CPU_QUOTA, Math.round(processors * CPU_PERIOD)) };
}

function makeEnvironment(settings: ContainerSettings): string[] {
  const environment = new Map([["PATH", DEFAULT_PATH]]);
  if (settings.hostname !== undefined) environment.set("HOSTNAME", settings.hostname);
  if (settings.terminal === true) environment.set("TERM", "xterm");
  for (const entry of settings.environment ?? []) {
    const equals = entry.indexOf("=");
    environment.set(entry.slice(0, equals), entry.slice(equals + 1));
  }
  return [...environment].map(([name, value]) => `${name}=${value}`);
}

function makeTmpfs(destination: string) {
  const mode = destination === "/tmp" || destination.endsWith("/tmp") ? "mode=1777" : "mode=755";
  return { destination, type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", mode] };
}
