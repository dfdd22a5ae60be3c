import { stat } from "node:fs/promises";
import * as v from "valibot";
import { AgentError } from "../../../common/errors.ts";
import { findBuiltImage } from "../../uvm/qemu/built-image.ts";
import {
  type Disk,
  MAXIMUM_MEMORY_MIB,
  type Nic,
  type PersistentMemory,
  type QemuConfig,
} from "../../uvm/qemu/config.ts";
import { DEFAULT_OCI_RUNTIME, QemuUvm, type QemuUvmOptions } from "../../uvm/qemu/qemu-uvm.ts";
import type { CallOptions } from "../cow.ts";
import { attachment, networkAdapter, type VirtualMachineDocument } from "../documents/document-parts.ts";
import { parseStrictly } from "../documents/strict.ts";
import type { HostModification, RunningVm, UtilityVmDriver } from "./driver.ts";
import { controllerNumber, scsiAddress } from "./scsi-disks.ts";

const DEFAULT_MEMORY_MB = 512;
/** Linux on x86 takes memory in pieces of this size; MiB. */
const MEMORY_STEP_MB = 128;
/** A fixed VHD is its contents, then this. Source: Microsoft's Virtual Hard Disk Image Format Specification. */
const VHD_FOOTER_BYTES = 512;
/** QEMU maps memory of the guest in pages of this size; bytes. */
const PERSISTENT_MEMORY_STEP = 2 * 1024 * 1024;
/** LUNs of controller 0 below are the document's, the others for the roots of containers. */
const FIRST_ROOT_LUN = 32;

export interface QemuDriverOptions
  extends Pick<QemuUvmOptions, "ociRuntime" | "logLevel" | "onLog" | "onStage" | "consoleFile"> {
  /** For documents without a LinuxKernelDirect: files on this machine. Default: the image of `npm run image`. */
  readonly kernel?: string;
  readonly initrd?: string;
  /** Default "auto": KVM where it works, else emulation. */
  readonly accelerator?: QemuConfig["accelerator"];
}

/**
 * Utility VMs in QEMU, which boot the document's kernel or else the image of `npm run image`. Of the document's devices
 * it has SCSI disks, persistent memory and network adapters: an EndpointId is "user" (QEMU's own network with a way
 * outside, and to what listens on this machine's loopback, as 10.0.2.2), "isolated" (the same without either) or the
 * name of a tap interface; absent, it is "isolated". Disks, adapters and memory can be added while the VM runs, and
 * memory not removed. What the guest writes to read-only persistent memory is lost.
 */
export class QemuDriver implements UtilityVmDriver {
  readonly name = "qemu";
  readonly #options: QemuDriverOptions;

  constructor(options: QemuDriverOptions = {}) {
    this.#options = options;
  }

  check(document: VirtualMachineDocument): void {
    const { Devices = {} } = document;
    const refuse = (part: string, why: string) => {
      throw new AgentError("NOT_SUPPORTED", `VirtualMachine.Devices.${part}: ${why}`);
    };
    const modules = Object.keys(Devices.VirtualPMem?.Devices ?? {});
    if (modules.some((number) => Number(number) >= modules.length)) {
      refuse("VirtualPMem.Devices", "the numbers must be 0, 1 and so on, as the guest counts them");
    }
    if (Object.values(Devices.VirtualPMem?.Devices ?? {}).some(({ ImageFormat }) => ImageFormat === "Vhdx")) {
      refuse("VirtualPMem.Devices", "the image format must be Vhd1 or Default, whose bytes can be mapped");
    }
    const { MaximumCount = modules.length } = Devices.VirtualPMem ?? {};
    if (modules.length > MaximumCount) {
      refuse("VirtualPMem.Devices", `there are ${modules.length}, and MaximumCount is ${MaximumCount}`);
    }
    if ((Devices.Plan9?.Shares?.length ?? 0) > 0) {
      refuse("Plan9.Shares", "the QEMU driver has no server for shared directories");
    }
    if (Object.keys(Devices.ComPorts ?? {}).length > 0) {
      refuse("ComPorts", "the console is the driver's own, for its errors");
    }
    this.#configOf(document);
  }

  async start(_id: string, document: VirtualMachineDocument, options: CallOptions = {}): Promise<RunningVm> {
    const { ociRuntime, logLevel, onLog, onStage, consoleFile } = this.#options;
    const uvm = await QemuUvm.start({
      ...this.#configOf(document),
      persistentMemory: await persistentMemoryOf(document),
      firstRootLun: FIRST_ROOT_LUN,
      hotplug: true,
      ...(ociRuntime !== undefined && { ociRuntime }),
      ...(logLevel !== undefined && { logLevel }),
      ...(onLog !== undefined && { onLog }),
      ...(consoleFile !== undefined && { consoleFile }),
      ...(onStage !== undefined && { onStage }),
      ...options,
    });
    return new QemuRunningVm(uvm, ociRuntime ?? DEFAULT_OCI_RUNTIME, memoryOf(document));
  }

  /** @throws AgentError NOT_SUPPORTED, INVALID_ARGUMENT, SPAWN_FAILED */
  #configOf(document: VirtualMachineDocument): QemuUvmOptions {
    const { LinuxKernelDirect: boot } = document.Chipset ?? {};
    const { kernel, initrd } =
      boot === undefined
        ? this.#ownBootFiles()
        : { kernel: boot.KernelFilePath, initrd: boot.InitRdPath || undefined };
    const extra = (boot?.KernelCmdLine ?? "").split(" ").filter((word) => word !== "");
    if (extra.includes("--")) {
      const message =
        "VirtualMachine.Chipset.LinuxKernelDirect.KernelCmdLine: what follows -- is the driver's own";
      throw new AgentError("NOT_SUPPORTED", message);
    }
    const { Devices = {}, ComputeTopology = {} } = document;
    return {
      kernel,
      ...(initrd !== undefined && { initrd }),
      kernelArguments: ["memhp_default_state=online", ...extra],
      memoryMiB: memoryOf(document),
      ...(ComputeTopology.Processor && { cpus: ComputeTopology.Processor.Count }),
      ...(this.#options.accelerator && { accelerator: this.#options.accelerator }),
      disks: disksOf(Devices.Scsi ?? {}),
      nics: Object.entries(Devices.NetworkAdapters ?? {}).map(([id, adapter]) => nicOf(id, adapter)),
    };
  }

  /** @throws AgentError SPAWN_FAILED when the image has not been built */
  #ownBootFiles(): { kernel: string; initrd: string | undefined } {
    const { kernel, initrd } = this.#options;
    return kernel === undefined ? findBuiltImage() : { kernel, initrd };
  }
}

class QemuRunningVm implements RunningVm {
  readonly uvm: QemuUvm;
  readonly runtime: { readonly command: string };
  #memoryMB: number;

  constructor(uvm: QemuUvm, ociRuntime: string, memoryMB: number) {
    this.uvm = uvm;
    this.runtime = { command: ociRuntime };
    this.#memoryMB = memoryMB;
  }

  async pause(): Promise<void> {
    await this.uvm.vm.pause();
  }

  async resume(): Promise<void> {
    await this.uvm.vm.resume();
  }

  async modify(change: HostModification): Promise<void> {
    const address = scsiAddress(change.path);
    const [, adapter] = /^Devices\/NetworkAdapters\/([^/]+)$/.exec(change.path) ?? [];
    if (address !== undefined && change.type !== "Update") await this.#modifyDisk(address, change);
    else if (adapter !== undefined && change.type !== "Update") await this.#modifyNic(adapter, change);
    else if (change.path === "ComputeTopology/Memory/SizeInMB") await this.#setMemory(change.settings);
    else {
      const message = `${change.type} VirtualMachine/${change.path}: the QEMU driver cannot change this`;
      throw new AgentError("NOT_SUPPORTED", message);
    }
  }

  async #modifyDisk(address: { controller: number; lun: number }, change: HostModification): Promise<void> {
    if (change.type === "Remove") {
      await this.uvm.vm.detachDisk(address);
      return;
    }
    const settings = parseStrictly(attachment, change.settings, `VirtualMachine/${change.path}`);
    await this.uvm.vm.attachDisk(diskOf(address.controller, address.lun, settings));
  }

  async #modifyNic(id: string, change: HostModification): Promise<void> {
    if (change.type === "Remove") {
      await this.uvm.vm.hotplug.detachNic(id);
      return;
    }
    const settings = parseStrictly(networkAdapter, change.settings, `VirtualMachine/${change.path}`);
    await this.uvm.vm.hotplug.attachNic(id, nicOf(id, settings));
  }

  async #setMemory(settings: unknown): Promise<void> {
    const sizes = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAXIMUM_MEMORY_MIB));
    const wanted = parseStrictly(sizes, settings, "VirtualMachine/ComputeTopology/Memory/SizeInMB");
    const more = wanted - this.#memoryMB;
    if (more < 0 || more % MEMORY_STEP_MB !== 0) {
      const message = `memory can grow from ${this.#memoryMB} MB in steps of ${MEMORY_STEP_MB}; ${wanted} MB is none`;
      throw new AgentError("NOT_SUPPORTED", message);
    }
    if (more > 0) await this.uvm.vm.hotplug.addMemory(more);
    this.#memoryMB = wanted;
  }
}

function memoryOf({ ComputeTopology }: VirtualMachineDocument): number {
  return ComputeTopology?.Memory?.SizeInMB ?? DEFAULT_MEMORY_MB;
}

/** @throws AgentError INVALID_ARGUMENT for an image that is not there or cannot be mapped whole */
async function persistentMemoryOf({ Devices }: VirtualMachineDocument): Promise<PersistentMemory[]> {
  const devices = Object.entries(Devices?.VirtualPMem?.Devices ?? {});
  const sorted = devices.toSorted(([one], [other]) => Number(one) - Number(other));
  return await Promise.all(
    sorted.map(async ([number, { HostPath: path, ReadOnly: readonly = false, ImageFormat }]) => {
      const what = `VirtualMachine.Devices.VirtualPMem.Devices.${number}`;
      const { size } = await stat(path).catch((cause: unknown) => {
        throw new AgentError("INVALID_ARGUMENT", `${what}: ${path} cannot be read`, { cause });
      });
      const bytes = ImageFormat === "Vhd1" ? size - VHD_FOOTER_BYTES : size;
      const { MaximumSizeBytes = Number.POSITIVE_INFINITY } = Devices?.VirtualPMem ?? {};
      if (bytes > MaximumSizeBytes) {
        const message = `${what}: ${path} has ${bytes} bytes of contents, and MaximumSizeBytes is ${MaximumSizeBytes}`;
        throw new AgentError("INVALID_ARGUMENT", message);
      }
      if (bytes > 0 && bytes % PERSISTENT_MEMORY_STEP === 0) return { path, bytes, readonly };
      const message = `${what}: ${path} has ${bytes} bytes of contents; make it a multiple of 2 MiB`;
      throw new AgentError("INVALID_ARGUMENT", message);
    }),
  );
}

type Scsi = NonNullable<NonNullable<VirtualMachineDocument["Devices"]>["Scsi"]>;
type Attachment = v.InferOutput<typeof attachment>;

function disksOf(scsi: Scsi): Disk[] {
  return Object.entries(scsi).flatMap(([name, { Attachments = {} }]) => {
    const controller = controllerNumber(name);
    if (controller === undefined) {
      throw new AgentError(
        "INVALID_ARGUMENT",
        `VirtualMachine.Devices.Scsi.${name} is no controller; use 0 to 3`,
      );
    }
    return Object.entries(Attachments).map(([lun, settings]) => diskOf(controller, Number(lun), settings));
  });
}

/** The format is told by the name, since that of an unknown image must not be guessed from what a guest can write. */
const FORMATS: Readonly<Record<string, NonNullable<Disk["format"]>>> = {
  vhd: "vpc",
  vhdx: "vhdx",
  qcow2: "qcow2",
};

function diskOf(controller: number, lun: number, { Path, ReadOnly, Type }: Attachment): Disk {
  if (controller === 0 && lun >= FIRST_ROOT_LUN) {
    const message = `SCSI controller 0 LUN ${lun}: use 0 to ${FIRST_ROOT_LUN - 1} there; the others are the driver's own`;
    throw new AgentError("INVALID_ARGUMENT", message);
  }
  const extension = Path.slice(Path.lastIndexOf(".") + 1).toLowerCase();
  const format = Type === "PassThru" ? undefined : FORMATS[extension];
  return {
    path: Path,
    controller,
    lun,
    readonly: ReadOnly === true,
    ...(format !== undefined && { format }),
  };
}

function nicOf(
  id: string,
  { EndpointId = "isolated", MacAddress }: v.InferOutput<typeof networkAdapter>,
): Nic {
  const mac = MacAddress?.replaceAll("-", ":") ?? macOf(id);
  if (EndpointId === "user" || EndpointId === "isolated") return { mac, backend: { type: EndpointId } };
  return { mac, backend: { type: "tap", interface: EndpointId } };
}

/** Locally administered, and the same whenever the adapter's id is. */
function macOf(id: string): string {
  let hash = 0;
  for (const character of id) hash = (Math.imul(hash, 31) + character.charCodeAt(0)) >>> 0;
  const bytes = [0x02, 0x15, (hash >>> 24) & 0xff, (hash >>> 16) & 0xff, (hash >>> 8) & 0xff, hash & 0xff];
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}
