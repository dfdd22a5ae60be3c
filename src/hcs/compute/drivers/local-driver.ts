import { realpath } from "node:fs/promises";
import { AgentError } from "../../../common/errors.ts";
import { LocalUvm, type LocalUvmOptions } from "../../uvm/local/local-uvm.ts";
import type { CallOptions } from "../cow.ts";
import type { VirtualMachineDocument } from "../documents/document-parts.ts";
import type { RunningVm, UtilityVmDriver } from "./driver.ts";

/**
 * For development, without a VM: an agent of each system's own on this machine, as root. Never the default: whoever
 * wants it names it. A kernel is refused, since nothing would boot it, and so are devices, since the guest would miss
 * them; the sizes of ComputeTopology are accepted and bound nothing. Pausing freezes the containers. Needs root.
 */
export class LocalDriver implements UtilityVmDriver {
  readonly name = "local";
  readonly #options: Omit<LocalUvmOptions, "signal">;

  constructor(options: Omit<LocalUvmOptions, "signal"> = {}) {
    this.#options = options;
  }

  check({ Chipset, Devices = {} }: VirtualMachineDocument): void {
    if (Chipset?.LinuxKernelDirect !== undefined) {
      const message =
        "VirtualMachine.Chipset.LinuxKernelDirect: the local driver runs without a virtual machine and boots no kernel; leave it out, or use the driver qemu";
      throw new AgentError("NOT_SUPPORTED", message);
    }
    const { Scsi = {}, VirtualPMem = {}, Plan9 = {}, NetworkAdapters = {}, ComPorts = {} } = Devices;
    const asked: Readonly<Record<string, number>> = {
      "Scsi.Attachments": Object.values(Scsi).flatMap(({ Attachments = {} }) => Object.keys(Attachments))
        .length,
      "VirtualPMem.Devices": Object.keys(VirtualPMem.Devices ?? {}).length,
      "Plan9.Shares": Plan9.Shares?.length ?? 0,
      NetworkAdapters: Object.keys(NetworkAdapters).length,
      ComPorts: Object.keys(ComPorts).length,
    };
    for (const [part, count] of Object.entries(asked)) {
      if (count === 0) continue;
      const message = `VirtualMachine.Devices.${part}: the local driver has no virtual machine to attach it to`;
      throw new AgentError("NOT_SUPPORTED", message);
    }
  }

  async start(_id: string, _document: VirtualMachineDocument, options: CallOptions = {}): Promise<RunningVm> {
    const uvm = await LocalUvm.start({ ...this.#options, ...options });
    return {
      uvm,
      runtime: uvm.runtime,
      // The guest is this machine.
      mapDirectory: async (hostPath) => await realpath(hostPath),
    };
  }
}
