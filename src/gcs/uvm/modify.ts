/** Changes to the utility VM itself and to its containers, resource by resource. */
import { AgentError } from "../../common/errors.ts";
import type { NetworkNamespaces } from "../../network/namespaces.ts";
import type {
  ModifyRequestType,
  ModifySettingsRequest,
  ResourceType,
} from "../../protocol/schemas/modify-settings.ts";
import type { CombinedLayers, MappedVirtualDisk } from "../../protocol/schemas/storage.ts";
import { mountOverlay } from "../../storage/overlay.ts";
import { mountScsi, scsiDevicePath, unplugScsi } from "../../storage/scsi.ts";
import type { UvmContainer } from "./container.ts";
import type { UvmMounts } from "./mounts.ts";

type SettingsOf<Type extends ResourceType> = Extract<
  ModifySettingsRequest,
  { ResourceType: Type }
>["Settings"];

/** What of the utility VM changes. */
export interface UvmParts {
  readonly mounts: UvmMounts;
  readonly networks: NetworkNamespaces;
  /** Gives containers together what memory there is now. */
  readonly limitMemory: () => void;
}

/** What this agent can do with a resource. */
interface Changes<Settings> {
  /** To the utility VM, for each kind of request that is supported. */
  readonly uvm?: {
    readonly [Kind in ModifyRequestType]?: (settings: Settings, parts: UvmParts) => Promise<void>;
  };
  /** To a container, whatever the kind of request: hosts send Update or nothing. */
  readonly container?: (settings: Settings, container: UvmContainer) => Promise<void>;
}

/** Every resource of the protocol: one that is forgotten here does not compile. */
const CHANGES: { readonly [Type in ResourceType]: Changes<SettingsOf<Type>> } = {
  SCSIDevice: {
    uvm: { Remove: ({ Controller, Lun }) => unplugScsi({ controller: Controller ?? 0, lun: Lun ?? 0 }) },
  },
  MappedVirtualDisk: {
    uvm: { Add: addDisk, Remove: ({ MountPath }, { mounts }) => mounts.remove(MountPath ?? "") },
  },
  CombinedLayers: {
    uvm: { Add: addLayers, Remove: ({ ContainerRootPath }, { mounts }) => mounts.remove(ContainerRootPath) },
  },
  ContainerConstraints: { container: ({ Linux }, container) => container.update(Linux ?? {}) },
  ContainerExecutionState: {
    container: ({ State }, container) => (State === "Paused" ? container.pause() : container.resume()),
  },
  MappedDirectory: {},
  VPMemDevice: {},
  Network: {
    uvm: {
      Add: (adapter, { networks }) => networks.add(adapter),
      Remove: (adapter, { networks }) => networks.remove(adapter),
    },
  },
  VPCIDevice: {},
  SecurityPolicy: {},
  SecurityPolicyFragment: {},
  PodCgroupMemoryLimit: { uvm: { Update: async (_, { limitMemory }) => limitMemory() } },
};

/** @throws AgentError NOT_SUPPORTED for what this agent cannot change, and what the resource's own room throws. */
export async function modifyUvm(request: ModifySettingsRequest, parts: UvmParts): Promise<void> {
  const { ResourceType, RequestType, Settings } = request;
  const change = changesOf(ResourceType).uvm?.[RequestType];
  if (change !== undefined) return change(Settings, parts);
  throw new AgentError(
    "NOT_SUPPORTED",
    `this agent does not know how to ${RequestType.toLowerCase()} a ${ResourceType} of the utility VM`,
  );
}

/** @throws AgentError RUNTIME_FAILED for a resource that no container has (the reference agent's code), or the runtime's. */
export async function modifyContainer(
  request: ModifySettingsRequest,
  container: UvmContainer,
): Promise<void> {
  const { ResourceType, Settings } = request;
  const change = changesOf(ResourceType).container;
  if (change !== undefined) return change(Settings, container);
  const known = Object.entries(CHANGES).flatMap(([type, changes]) => ("container" in changes ? [type] : []));
  throw new AgentError(
    "RUNTIME_FAILED",
    `the ResourceType "${ResourceType}" is not supported for containers, only ${known.join(" and ")}`,
  );
}

/** The row of a resource, taking the settings of any: those of a request are of the resource that it names. */
function changesOf(type: ResourceType): Changes<ModifySettingsRequest["Settings"]> {
  return CHANGES[type] as Changes<ModifySettingsRequest["Settings"]>;
}

async function addDisk(disk: MappedVirtualDisk, { mounts }: UvmParts): Promise<void> {
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

async function addLayers(layers: CombinedLayers, { mounts }: UvmParts): Promise<void> {
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
