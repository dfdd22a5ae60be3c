import * as v from "valibot";
import { attachment, type VirtualMachineDocument } from "../documents/document-parts.ts";
import type { MappedVirtualDisk, MappedVirtualDiskController } from "../documents/schema1.ts";
import type { HostModification } from "./driver.ts";

/** Names of SCSI controllers 0 to 3 as hcsshim gives them: internal/protocol/guestrequest/types.go there. */
const CONTROLLER_GUIDS = [
  "df6d0690-79e5-55b6-a5ec-c1e2f77f580a",
  "0110f83b-de10-5172-a266-78bca56bf50a",
  "b5d2d8d4-3a75-51bf-945b-3444dc6b8579",
  "305891a9-b251-5dfe-91a2-c25d9212275b",
];

/** @returns 0 to 3; undefined for a name that stands for no controller. */
export function controllerNumber(name: string): number | undefined {
  if (/^[0-3]$/.test(name)) return Number(name);
  const index = CONTROLLER_GUIDS.indexOf(name.toLowerCase());
  return index < 0 ? undefined : index;
}

/** Reads "Devices/Scsi/0/Attachments/1". */
export function scsiAddress(path: string): { controller: number; lun: number } | undefined {
  const [, name = "", lun = ""] = /^Devices\/Scsi\/([^/]+)\/Attachments\/(\d{1,3})$/.exec(path) ?? [];
  const controller = controllerNumber(name);
  return controller === undefined ? undefined : { controller, lun: Number(lun) };
}

/** What is attached where, by the document and by what was changed since. */
export class ScsiDisks {
  readonly #controllers = new Map<number, Map<number, MappedVirtualDisk>>();

  constructor({ Devices }: VirtualMachineDocument) {
    for (const [name, { Attachments = {} }] of Object.entries(Devices?.Scsi ?? {})) {
      for (const [lun, settings] of Object.entries(Attachments)) {
        this.modified({ path: `Devices/Scsi/${name}/Attachments/${lun}`, type: "Add", settings });
      }
    }
  }

  modified({ path, type, settings }: HostModification): void {
    const address = scsiAddress(path);
    if (address === undefined) return;
    const disks = this.#controllers.get(address.controller) ?? new Map<number, MappedVirtualDisk>();
    this.#controllers.set(address.controller, disks);
    if (type === "Remove") disks.delete(address.lun);
    else {
      const { Path: HostPath, ReadOnly = false } = v.parse(attachment, settings);
      disks.set(address.lun, { HostPath, ContainerPath: "", ReadOnly, AttachOnly: true });
    }
  }

  controllers(): Record<number, MappedVirtualDiskController> {
    const filled = [...this.#controllers].filter(([, disks]) => disks.size > 0);
    return Object.fromEntries(
      filled.map(([number, disks]) => [number, { MappedVirtualDisks: Object.fromEntries(disks) }]),
    );
  }
}
