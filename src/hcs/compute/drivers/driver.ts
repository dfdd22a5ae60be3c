import type { UtilityVm } from "../../uvm/utility-vm.ts";
import type { CallOptions } from "../cow.ts";
import type { VirtualMachineDocument } from "../documents/document-parts.ts";
import type { SaveOptions } from "../documents/schema2.ts";

/** Starts utility VMs for the compute service. What a driver cannot do is refused by name, never left out. */
export interface UtilityVmDriver {
  /** For messages: "qemu", "local". */
  readonly name: string;

  /**
   * Whether a VM can be made of the document; nothing is started.
   * @throws HcsError, AgentError NOT_SUPPORTED naming the part that cannot be had
   */
  check(document: VirtualMachineDocument): void;

  /**
   * Starts the VM and waits for its guest.
   * @param id the compute system's
   * @throws AgentError why it did not start; then nothing of it is left
   */
  start(id: string, document: VirtualMachineDocument, options?: CallOptions): Promise<RunningVm>;
}

/** A change of the VM's own parts, of those that ModifySettingRequest's ResourcePath names. */
export interface HostModification {
  /** Below "VirtualMachine/": "Devices/Scsi/0/Attachments/1". */
  readonly path: string;
  readonly type: "Add" | "Remove" | "Update";
  readonly settings: unknown;
}

/** A VM that runs. Members that are absent are what its driver cannot do. */
export interface RunningVm {
  readonly uvm: UtilityVm;
  /** How the OCI runtime in the guest is called, for freezing containers. */
  readonly runtime: { readonly command: string; readonly root?: string };
  /** Stops and continues the virtual processors. Absent: the containers are frozen one by one instead. */
  pause?(options?: CallOptions): Promise<void>;
  resume?(options?: CallOptions): Promise<void>;
  save?(options: SaveOptions & CallOptions): Promise<void>;
  modify?(change: HostModification, options?: CallOptions): Promise<void>;
  /**
   * Lets the guest see a directory of this machine.
   * @returns its path in the guest
   */
  mapDirectory?(hostPath: string, readOnly: boolean): Promise<string>;
}
