import { AgentError } from "../../../common/errors.ts";
import type { OciSpec } from "../../../protocol/schemas/oci.ts";
import { makeDefaultSpec, type SecuritySettings } from "../../uvm/default-spec.ts";
import { MOUNT_POINT_BYTES } from "../../uvm/root-directory.ts";
import type { ContainerRoot } from "../../uvm/utility-vm.ts";
import type { ContainerDocument } from "../documents/document-parts.ts";
import { type CheckedParameters, processLike } from "../documents/process-parameters.ts";
import type { RunningVm } from "../drivers/driver.ts";

const MEBIBYTE = 1024 * 1024;
/** Microseconds: the kernel's default period of a cgroup's processor quota. */
const CPU_PERIOD = 100_000;
/** A Weight of HCS's scale (1 to 10000, default 100) for a weight of 1024 shares. */
const DEFAULT_WEIGHT = 100;

export interface PreparedContainer {
  readonly spec: OciSpec;
  readonly bundlePath: string;
  readonly scratchPath?: string;
  /** Takes away what was mounted for it, once it is deleted. */
  release?(): Promise<void>;
}

/** A directory of the VM that the container sees. */
export interface GuestMount {
  readonly source: string;
  readonly destination: string;
  readonly readOnly: boolean;
}

interface FirstProcess {
  readonly parameters: CheckedParameters;
  readonly mounts: readonly GuestMount[];
}

/** Ids may hold a +, which no host name may. */
function hostnameOf(id: string): string {
  return id.replaceAll("+", "-").slice(0, 63);
}

/**
 * The OCI spec of a container that its document describes without one.
 * @param first its first process, and what it sees of the VM beside the document's directories
 * @throws AgentError NOT_SUPPORTED, INVALID_ARGUMENT; what mounting the layers answers
 */
export async function prepareContainer(
  id: string,
  document: ContainerDocument,
  vm: RunningVm,
  first: FirstProcess,
): Promise<PreparedContainer> {
  const { parameters } = first;
  const bundlePath = vm.uvm.bundlePath(id);
  if (parameters.OCISpecification !== undefined) {
    checkNothingBeside(document, first.mounts);
    return { spec: parameters.OCISpecification, bundlePath };
  }
  const root = await prepareStorage(id, document, vm);
  try {
    const spec = await makeSpec(id, document, vm, { ...first, root });
    return { bundlePath, spec, ...(root.release && { release: root.release }) };
  } catch (cause) {
    await root.release?.();
    throw cause;
  }
}

/** A container's root, united of the document's layers or its directory. */
async function prepareStorage(
  id: string,
  { Storage = {} }: ContainerDocument,
  { uvm }: RunningVm,
): Promise<ContainerRoot> {
  const { Layers = [], Path, ReadWrite } = Storage;
  if (Layers.length === 0) {
    return await uvm.prepareRoot(Path, { ...(ReadWrite === true && { readWrite: true }) });
  }
  if (ReadWrite === true) {
    const message = "Container.Storage.ReadWrite: layers are not written to, and Path is in any case";
    throw new AgentError("INVALID_ARGUMENT", message);
  }
  const path = `${uvm.bundlePath(id)}/rootfs`;
  const union = { ContainerID: id, ContainerRootPath: path };
  await uvm.guest.modify({
    ResourceType: "CombinedLayers",
    RequestType: "Add",
    Settings: {
      ...union,
      Layers: Layers.map((layer) => ({ Id: layer.Id, Path: layer.Path })),
      // Without a directory for it there is room for mount points, and for nothing of the container's.
      ...(Path === undefined
        ? { ScratchPath: `${uvm.bundlePath(id)}/scratch`, ScratchSizeInBytes: MOUNT_POINT_BYTES }
        : { ScratchPath: Path }),
    },
  });
  return {
    path,
    readonly: Path === undefined,
    temporaryDirectories: [],
    release: () =>
      uvm.guest.modify({ ResourceType: "CombinedLayers", RequestType: "Remove", Settings: union }),
  };
}

async function makeSpec(
  id: string,
  document: ContainerDocument,
  vm: RunningVm,
  { parameters, mounts: others, root }: FirstProcess & { readonly root: ContainerRoot },
): Promise<OciSpec> {
  const { uvm } = vm;
  const base = makeDefaultSpec({
    args: ["/bin/sh"],
    rootPath: root.path,
    rootReadonly: root.readonly,
    temporaryDirectories: root.temporaryDirectories,
    terminal: parameters.EmulateConsole === true,
    hostname: document.GuestOs?.HostName ?? hostnameOf(id),
    cgroupNamespace: uvm.hasUnifiedCgroups,
    ...(uvm.maximumOpenFiles !== undefined && { maximumOpenFiles: uvm.maximumOpenFiles }),
    security: securityOf(document),
    ...(document.Memory !== undefined && { memoryLimit: document.Memory.SizeInMB * MEBIBYTE }),
  });
  const spec = base as unknown as OciSpec & { linux: { resources: object } };
  const process = parameters.OCIProcess ?? processLike(spec.process, parameters);
  const cpu = cpuResources(document);
  const mounts = [...(await mappedDirectories(document, vm)), ...others];
  return {
    ...spec,
    process,
    mounts: [...(spec.mounts ?? []), ...mounts.map(makeBindMount)],
    linux: { ...spec.linux, resources: { ...spec.linux.resources, ...(cpu && { cpu }) } },
    ...(document.Networking?.Namespace && {
      windows: { network: { networkNamespace: document.Networking.Namespace } },
    }),
  };
}

/**
 * An OCI specification describes all of the container.
 * @throws AgentError INVALID_ARGUMENT naming the document's part that would have no effect
 */
function checkNothingBeside(document: ContainerDocument, mounts: readonly GuestMount[]): void {
  const parts = Object.entries(document).filter(([, part]) => Object.keys(part ?? {}).length > 0);
  const [part = mounts.length > 0 ? "MappedVirtualDisks" : undefined] = parts.map(([name]) => name);
  if (part === undefined) return;
  const message = `process parameters: OCISpecification describes the whole container, so that ${part} of its document has no effect; put it into the specification`;
  throw new AgentError("INVALID_ARGUMENT", message);
}

function securityOf({ Security = {} }: ContainerDocument): SecuritySettings {
  const { Seccomp, SystemPaths, NoNewPrivileges, PidsLimit } = Security;
  return {
    ...(Seccomp !== undefined && { seccomp: Seccomp }),
    ...(SystemPaths !== undefined && { systemPaths: SystemPaths }),
    ...(NoNewPrivileges !== undefined && { noNewPrivileges: NoNewPrivileges }),
    ...(PidsLimit !== undefined && { pidsLimit: PidsLimit }),
  };
}

function cpuResources({ Processor }: ContainerDocument): object | undefined {
  if (Processor === undefined) return undefined;
  const { Count, Maximum, Weight } = Processor;
  if (Count !== undefined && Maximum !== undefined) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      "Container.Processor: give Count or Maximum, since both limit the same time",
    );
  }
  const quota = Count === undefined ? Maximum && (Maximum * CPU_PERIOD) / 10_000 : Count * CPU_PERIOD;
  return {
    ...(quota !== undefined && { period: CPU_PERIOD, quota: Math.max(1000, Math.round(quota)) }),
    ...(Weight !== undefined && { shares: Math.max(2, Math.round((Weight * 1024) / DEFAULT_WEIGHT)) }),
  };
}

async function mappedDirectories({ MappedDirectories = [] }: ContainerDocument, vm: RunningVm) {
  return await Promise.all(
    MappedDirectories.map(async ({ HostPath, ContainerPath, ReadOnly }) => {
      if (vm.mapDirectory === undefined) {
        const message = `Container.MappedDirectories: the driver cannot share ${HostPath} with the guest`;
        throw new AgentError("NOT_SUPPORTED", message);
      }
      const source = await vm.mapDirectory(HostPath, ReadOnly === true);
      return { source, destination: ContainerPath, readOnly: ReadOnly === true };
    }),
  );
}

function makeBindMount({ source, destination, readOnly }: GuestMount) {
  return { destination, type: "bind", source, options: ["rbind", readOnly ? "ro" : "rw"] };
}
