import { AgentError } from "../../../common/errors.ts";
import {
  CONTROLLERS,
  DEFAULT_MEMORY_MIB,
  type Disk,
  HOTPLUG_PORTS,
  LUNS,
  MAXIMUM_MEMORY_MIB,
  MEMORY_SLOTS,
  type Nic,
  type PersistentMemory,
  type QemuConfig,
} from "./config.ts";

/** What the driver has chosen, beside what the caller configured. */
export interface Choices {
  readonly accelerator: "kvm" | "tcg";
  /** QEMU's descriptor of its control connection. */
  readonly controlFd: number;
  readonly wire:
    | { readonly type: "forwarder"; readonly fd: number }
    | { readonly type: "vsock"; readonly cid: number };
}

/** Virtual CPUs of a machine that asks for no number. An emulated second one adds no speed, only work. */
const DEFAULT_CPUS = { kvm: 2, tcg: 1 };

/** COMMAND_LINE_SIZE of Linux on x86, less the terminating NUL; what is behind it, the kernel cuts off in silence. */
const LONGEST_COMMAND_LINE = 2048 - 1;

/** The name that the guest's /init looks for before it starts the forwarder. */
export const FORWARDER_PORT_NAME = "lcow.vsock";

/** QEMU's arguments: q35 with PCI and no device that is not asked for. */
export function qemuArguments(config: QemuConfig, choices: Choices): string[] {
  const memory = config.memoryMiB ?? DEFAULT_MEMORY_MIB;
  const cpus = config.cpus ?? DEFAULT_CPUS[choices.accelerator];
  return [
    ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ["-machine", "q35,usb=off,vmport=off,sata=off,smbus=off,hpet=off"],
    acceleratorArguments(choices.accelerator),
    ["-m", `${memory}M${extraMemory(config)}`, "-smp", `${cpus}`],
    ["-kernel", config.kernel],
    config.initrd === undefined ? [] : ["-initrd", config.initrd],
    ["-append", kernelCommandLine(config, choices.accelerator, cpus)],
    // The console is QEMU's standard output, which we read: so its end is at hand when the boot fails.
    ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ["-chardev", `socket,id=control,fd=${choices.controlFd}`],
    // QEMU 11 warns of -mon, which says the same.
    ["-qmp", "chardev:control"],
    wireArguments(choices.wire),
    controllerArguments(config.disks ?? []),
    (config.disks ?? []).flatMap((disk) => [
      ...["-blockdev", JSON.stringify(blockNode(disk))],
      ...["-device", JSON.stringify(diskDevice(disk))],
    ]),
    (config.persistentMemory ?? []).flatMap(persistentMemoryArguments),
    (config.nics ?? []).flatMap(nicArguments),
    config.hotplug === true ? Array.from({ length: HOTPLUG_PORTS }, rootPort).flat() : [],
  ].flat();
}

/**
 * Emulated processors take turns on one thread (thread=single), however many there are. With a thread each, which is
 * QEMU's default, a processor once lost its timer while the guest booted (QEMU 7.2: "rcu_preempt kthread timer wakeup
 * didn't happen"), and the guest hung. A boot of two takes a seventh longer; what runs is not spread over this machine's
 * processors, which needs KVM.
 */
function acceleratorArguments(accelerator: "kvm" | "tcg"): string[] {
  if (accelerator === "kvm") return ["-accel", "kvm", "-cpu", "host"];
  // tb-size: MiB of translated code; beyond it QEMU throws all of it away and starts anew.
  const emulation = "tcg,thread=single,tb-size=256";
  // erms makes the kernel copy with "rep movsb", which is emulated byte by byte; la57 makes a page walk a step longer.
  // fsrm (QEMU 9 has it) goes with erms: a kernel of 6.1 that sees it alone hangs in its first memmove.
  // Without them, the time from the kernel's start to the agent's is a sixth shorter.
  return ["-accel", emulation, "-cpu", "max,-erms,-fsrm,-la57"];
}

/** What an emulated kernel need not do: test its ciphers, patch itself for one processor, doubt the emulated clock. */
const EMULATED = ["cryptomgr.notests", "noreplace-smp", "tsc=reliable"];

function kernelCommandLine(config: QemuConfig, accelerator: "kvm" | "tcg", cpus: number): string {
  const kernel = [
    "console=ttyS0",
    // Reboots at once, and -no-reboot makes that the end of QEMU: a failed boot is known at once.
    "panic=-1",
    "random.trust_cpu=on",
    `nr_cpus=${cpus}`,
    ...(accelerator === "tcg" ? EMULATED : []),
    ...(config.kernelArguments ?? []),
  ];
  const init = config.initArguments ?? [];
  for (const word of init) {
    if (/[\s"]/.test(word) || word === "") {
      throw new AgentError(
        "INVALID_ARGUMENT",
        `argument ${JSON.stringify(word)} for /init cannot stand on a kernel command line; put it into a script`,
      );
    }
  }
  const line = [...kernel, ...(init.length === 0 ? [] : ["--", ...init])].join(" ");
  if (Buffer.byteLength(line) <= LONGEST_COMMAND_LINE) return line;
  const message = `the kernel's command line has ${Buffer.byteLength(line)} bytes; it takes ${LONGEST_COMMAND_LINE}`;
  throw new AgentError("INVALID_ARGUMENT", message);
}

function wireArguments(wire: Choices["wire"]): string[] {
  if (wire.type === "vsock") return ["-device", `vhost-vsock-pci,guest-cid=${wire.cid}`];
  return [
    ...["-chardev", `socket,id=forwarder,fd=${wire.fd}`],
    ...["-device", "virtio-serial-pci,max_ports=2"],
    ...["-device", `virtserialport,id=${FORWARDER_PORT_NAME},chardev=forwarder,name=${FORWARDER_PORT_NAME}`],
  ];
}

/** Controller 0 is always there, so that a disk can be added while the guest runs; others cost boot time. */
function controllerArguments(disks: readonly Disk[]): string[] {
  const count = 1 + Math.max(0, ...disks.map((disk) => disk.controller ?? 0));
  return Array.from({ length: count }, (_, index) => ["-device", `virtio-scsi-pci,id=scsi${index}`]).flat();
}

/** Arguments of blockdev-add. */
export function blockNode(disk: Disk): Record<string, unknown> {
  checkDisk(disk);
  const readonly = disk.readonly ?? false;
  return {
    driver: disk.format ?? "raw",
    "node-name": diskName(disk),
    "read-only": readonly,
    // Holes punched by the guest (fstrim) give their space back.
    discard: "unmap",
    // What its header names is not opened: a guest that writes the header would choose a file of this machine.
    ...(disk.format === "qcow2" && { backing: null }),
    file: { driver: "file", filename: disk.path, "read-only": readonly, discard: "unmap" },
  };
}

/** Arguments of device_add. */
export function diskDevice(disk: Disk): Record<string, unknown> {
  return {
    driver: "scsi-hd",
    id: `${diskName(disk)}-device`,
    drive: diskName(disk),
    bus: `scsi${disk.controller ?? 0}.0`,
    channel: 0,
    "scsi-id": 0,
    lun: disk.lun,
  };
}

export function diskName(disk: Pick<Disk, "controller" | "lun">): string {
  return `disk-${disk.controller ?? 0}-${disk.lun}`;
}

function checkDisk(disk: Disk): void {
  const controller = disk.controller ?? 0;
  const fits = (value: number, count: number) => Number.isInteger(value) && value >= 0 && value < count;
  if (fits(controller, CONTROLLERS) && fits(disk.lun, LUNS)) return;
  throw new AgentError(
    "INVALID_ARGUMENT",
    `disk ${disk.path} is at controller ${controller}, LUN ${disk.lun}; there are ${CONTROLLERS} with ${LUNS} each`,
  );
}

/** Slots and address space for what is beside the machine's own memory. */
function extraMemory({ hotplug, persistentMemory = [] }: QemuConfig): string {
  if (hotplug !== true && persistentMemory.length === 0) return "";
  return `,slots=${MEMORY_SLOTS + persistentMemory.length},maxmem=${MAXIMUM_MEMORY_MIB}M`;
}

function persistentMemoryArguments(module: PersistentMemory, index: number): string[] {
  const { path, bytes, readonly = false } = module;
  const id = `pmem${index}`;
  // Not an NVDIMM, whose number in the guest is not its place in this list. A private mapping keeps to itself what
  // the guest writes.
  const backend = `memory-backend-file,id=${id},share=${readonly ? "off" : "on"},mem-path=${escapeComma(path)},size=${bytes}`;
  return ["-object", backend, "-device", `virtio-pmem-pci,id=${id}-device,memdev=${id}`];
}

/** The machine's own PCI bus takes no card while it runs; a port of PCI Express does. */
function rootPort(_: unknown, index: number): string[] {
  const number = index + 1;
  return ["-device", `pcie-root-port,id=${hotplugBus(index)},chassis=${number},slot=${number}`];
}

export function hotplugBus(index: number): string {
  return `hotplug${index}`;
}

/** Arguments of netdev_add. */
export function netdevNode(id: string, { backend }: Nic): Record<string, unknown> {
  if (backend.type === "tap") {
    return { type: "tap", id, ifname: backend.interface, script: "no", downscript: "no" };
  }
  return { type: "user", id, restrict: backend.type === "isolated" };
}

/** Arguments of device_add. */
export function nicDevice(id: string, bus: string, { mac }: Nic): Record<string, unknown> {
  checkMac(mac);
  return { driver: "virtio-net-pci", id: `${id}-device`, netdev: id, bus, mac, romfile: "" };
}

function checkMac(mac: string): void {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)) {
    throw new AgentError("INVALID_ARGUMENT", `MAC address ${mac} is not six colon-separated bytes`);
  }
}

function nicArguments(nic: Nic, index: number): string[] {
  checkMac(nic.mac);
  const id = `net${index}`;
  const { backend } = nic;
  const netdev =
    backend.type === "tap"
      ? `tap,id=${id},ifname=${escapeComma(backend.interface)},script=no,downscript=no`
      : `user,id=${id},restrict=${backend.type === "isolated" ? "on" : "off"}`;
  return ["-netdev", netdev, "-device", `virtio-net-pci,netdev=${id},mac=${nic.mac},romfile=`];
}

/** A comma in a value of QEMU's key=value lists is written twice. */
function escapeComma(value: string): string {
  return value.replaceAll(",", ",,");
}
