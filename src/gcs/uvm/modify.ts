/** Changes to the utility VM itself, resource by resource. */
import { AgentError } from "../../common/errors.ts";
import type { ModifySettingsRequest } from "../../protocol/schemas/modify-settings.ts";
import type { CombinedLayers, MappedVirtualDisk } from "../../protocol/schemas/storage.ts";
import { mountOverlay } from "../../storage/overlay.ts";
import { mountScsi, scsiDevicePath, unplugScsi } from "../../storage/scsi.ts";
import type { UvmMounts } from "./mounts.ts";

/** @throws AgentError NOT_SUPPORTED for what this agent cannot change, and what the resource's own room throws. */
export async function modifyUvm(request: ModifySettingsRequest, mounts: UvmMounts): Promise<void> {
  const { ResourceType, RequestType, Settings } = request;
  if (ResourceType === "SCSIDevice" && RequestType === "Remove") {
    return unplugScsi({ controller: Settings.Controller ?? 0, lun: Settings.Lun ?? 0 });
  }
  if (ResourceType === "MappedVirtualDisk" && RequestType === "Add") return addDisk(Settings, mounts);
  if (ResourceType === "MappedVirtualDisk" && RequestType === "Remove")
    return mounts.remove(Settings.MountPath ?? "");
  if (ResourceType === "CombinedLayers" && RequestType === "Add") return addLayers(Settings, mounts);
  if (ResourceType === "CombinedLayers" && RequestType === "Remove")
    return mounts.remove(Settings.ContainerRootPath);
  throw new AgentError(
    "NOT_SUPPORTED",
    `this agent does not know how to ${RequestType.toLowerCase()} a ${ResourceType} of the utility VM`,
  );
}

async function addDisk(disk: MappedVirtualDisk, mounts: UvmMounts): Promise<void> {
  for (const [wanted, what] of [
    [disk.Encrypted, "an encrypted disk"],
    [disk.BlockDev, "a disk as a block device"],
    [disk.VerityInfo, "a disk with dm-verity"],
  ] as const) {
    if (wanted) throw new AgentError("NOT_SUPPORTED", `this agent does not mount ${what} yet`);
  }
  const address = { controller: disk.Controller ?? 0, lun: disk.Lun ?? 0 };
  const target = disk.MountPath ?? "";
  if (target === "") {
    // Only attached: the disk has to be there, and nothing is mounted from it.
    await scsiDevicePath(address, disk.Partition ?? 0);
    return;
  }
  await mounts.add(target, () =>
    mountScsi({
      ...address,
      partition: disk.Partition ?? 0,
      target,
      readonly: disk.ReadOnly === true,
      options: disk.Options ?? [],
      filesystem: disk.Filesystem ?? "",
      ensureFilesystem: disk.EnsureFilesystem === true,
    }),
  );
}

async function addLayers(layers: CombinedLayers, mounts: UvmMounts): Promise<void> {
  if (layers.ScratchPath && layers.ScratchSizeInBytes) mounts.check(layers.ScratchPath);
  await mounts.add(layers.ContainerRootPath, () =>
    mountOverlay({
      target: layers.ContainerRootPath,
      layers: (layers.Layers ?? []).map(({ Path }) => Path),
      scratch: layers.ScratchPath || undefined,
      scratchBytes: layers.ScratchSizeInBytes || undefined,
    }),
  );
}
