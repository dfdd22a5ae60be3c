import type { CallOptions } from "./cow.ts";
import type { VirtualMachineDocument } from "./document-parts.ts";
import type { RunningVm, UtilityVmDriver } from "./driver.ts";
import { LocalDriver } from "./local-driver.ts";
import { QemuDriver } from "./qemu-driver.ts";

/** Makes a virtual machine in QEMU of a document that names a kernel; without one, an agent on this machine. */
export class AutoDriver implements UtilityVmDriver {
  readonly name = "auto";
  readonly #qemu = new QemuDriver();
  readonly #local = new LocalDriver();

  check(document: VirtualMachineDocument): void {
    this.#choose(document).check(document);
  }

  async start(id: string, document: VirtualMachineDocument, options: CallOptions = {}): Promise<RunningVm> {
    return await this.#choose(document).start(id, document, options);
  }

  #choose(document: VirtualMachineDocument): UtilityVmDriver {
    return document.Chipset?.LinuxKernelDirect === undefined ? this.#local : this.#qemu;
  }
}
