import { AgentError } from "../../errors.ts";
import type { OciSpec } from "../../protocol/schemas/oci.ts";
import { makeDefaultSpec, type SecuritySettings } from "../default-spec.ts";
import type { ContainerRoot } from "../utility-vm.ts";
import type { ContainerDocument } from "./document-parts.ts";
import type { RunningVm } from "./driver.ts";
import { type CheckedParameters, processLike } from "./process-parameters.ts";

const MEBIBYTE = 1024 * 1024;
/** Microseconds: the kernel's default period of a cgroup's processor quota. */
const CPU_PERIOD = 100_000;
/** A Weight of HCS's scale (1 to 10000, default 100) for a weight of 1024 shares. */
const DEFAULT_WEIGHT = 100;

export interface PreparedContainer {
  readonly spec: OciSpec;
  readonly bundlePath: string;
  readonly scratchPath?: string;
}

/** A directory of the VM that the container sees. */
export interface GuestMount {
  readonly source: string;
  readonly destination: string;
  readonly readOnly: boolean;
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
  first: { readonly parameters: CheckedParameters; readonly mounts: readonly GuestMount[] },
): Promise<PreparedContainer> {
  const { parameters } = first;
  const { uvm } = vm;
  const bundlePath = uvm.bundlePath(id);
  const layers = document.Storage?.Layers ?? [];
  if (parameters.OCISpecification !== undefined) {
    checkNothingBeside(document, first.mounts);
    return { spec: parameters.OCISpecification, bundlePath };
  }
  const root =
    layers.length > 0
      ? {
          path: `${bundlePath}/rootfs`,
          readonly: document.Storage?.Path === undefined,
          temporaryDirectories: [],
        }
      : await uvm.prepareRoot(document.Storage?.Path);
  if (layers.length > 0) {
    await uvm.guest.modify({
      ResourceType: "CombinedLayers",
      RequestType: "Add",
      Settings: {
        ContainerID: id,
        ContainerRootPath: root.path,
        Layers: layers.map(({ Id, Path }) => ({ Id, Path })),
        ScratchPath: document.Storage?.Path,
      },
    });
  }
  const base = makeDefaultSpec({
    args: ["/bin/sh"],
    rootPath: root.path,
    rootReadonly: root.readonly,
    temporaryDirectories: root.temporaryDirectories,
    terminal: parameters.EmulateConsole === true,
    hostname: document.GuestOs?.HostName ?? id.slice(0, 63),
    cgroupNamespace: uvm.hasUnifiedCgroups,
    ...(uvm.maximumOpenFiles !== undefined && { maximumOpenFiles: uvm.maximumOpenFiles }),
    security: securityOf(document),
    ...(document.Memory !== undefined && { memoryLimit: document.Memory.SizeInMB * MEBIBYTE }),
  });
  const spec = base as unknown as OciSpec & { linux: { resources: object } };
  const process = parameters.OCIProcess ?? processLike(spec.process, parameters);
  const cpu = cpuResources(document);
  const mounts = [...(await mappedDirectories(document, vm)), ...first.mounts];
  if (layers.length === 0) checkMountPoints(root, mounts);
  return {
    bundlePath,
    spec: {
      ...spec,
      process,
      mounts: [...(spec.mounts ?? []), ...mounts.map(makeBindMount)],
      linux: { ...spec.linux, resources: { ...spec.linux.resources, ...(cpu && { cpu }) } },
      ...(document.Networking?.Namespace && {
        windows: { network: { networkNamespace: document.Networking.Namespace } },
      }),
    },
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

/** Takes away what prepareContainer() mounted. */
export async function releaseContainer(
  id: string,
  document: ContainerDocument,
  vm: RunningVm,
): Promise<void> {
  if ((document.Storage?.Layers ?? []).length === 0) return;
  await vm.uvm.guest.modify({
    ResourceType: "CombinedLayers",
    RequestType: "Remove",
    Settings: { ContainerID: id, ContainerRootPath: `${vm.uvm.bundlePath(id)}/rootfs` },
  });
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

/**
 * A root that is shared has no room for new mount points.
 * @throws AgentError INVALID_ARGUMENT naming the mount
 */
function checkMountPoints(root: ContainerRoot, mounts: readonly GuestMount[]): void {
  if (!root.readonly) return;
  for (const { destination } of mounts) {
    if (root.temporaryDirectories.some((directory) => destination.startsWith(`${directory}/`))) continue;
    const room = root.temporaryDirectories.join(", ");
    const message = `${destination}: the container's root is read-only; mount below ${room}, or give it a root of its own`;
    throw new AgentError("INVALID_ARGUMENT", message);
  }
}

function makeBindMount({ source, destination, readOnly }: GuestMount) {
  return { destination, type: "bind", source, options: ["rbind", readOnly ? "ro" : "rw"] };
}
