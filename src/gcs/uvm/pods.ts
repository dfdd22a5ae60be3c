/** The pods of the utility VM, and what a container's spec becomes in one, or outside any. */
import { statSync } from "node:fs";
import { dirname } from "node:path";
import type { CleanupStack } from "../../common/cleanup.ts";
import { AgentError } from "../../common/errors.ts";
import { cgroupDirectoryName } from "../../linux/cgroups/name.ts";
import { allDevices, deviceAt, linkedDevice } from "../../linux/devices.ts";
import type { NetworkNamespaces } from "../../network/namespaces.ts";
import type { OciSpec } from "../../protocol/schemas/oci.ts";
import { Pod } from "./pod.ts";
import {
  ANNOTATIONS,
  annotation,
  type ContainerRole,
  isTrue,
  quote,
  roleOf,
  skipsPodNetworking,
} from "./spec/annotations.ts";
import { withAllDevices, withBlockDevice, withDevices } from "./spec/devices.ts";
import { type EtcFile, etcFiles, etcMounts, missingEtcFiles } from "./spec/etc-mounts.ts";
import { coreLimited, sharedMemorySized } from "./spec/limits.ts";
import { type NeededPath, type PodMounts, resolvePodMounts } from "./spec/pod-mounts.ts";

export interface Placement {
  /** The spec with what its role, its pod and its annotations make of it. */
  readonly spec: OciSpec;
  /** To be written into the bundle directory. */
  readonly files: readonly EtcFile[];
  readonly cgroupsPath: string;
  readonly hostNetwork: boolean;
  /** Undefined outside pods. */
  readonly pod: Pod | undefined;
  readonly isSandbox: boolean;
  /** Whose adapters it gets, as the host names it; "" for none. */
  readonly networkNamespace: string;
  /** Sources that the runtime is about to mount. */
  readonly needed: readonly NeededPath[];
}

export interface PlacementRequest {
  readonly id: string;
  readonly bundlePath: string;
  readonly spec: OciSpec;
  /** What the VM is called. */
  readonly machineName: string;
  /** "/pods" */
  readonly cgroupParent: string;
}

export class Pods {
  readonly #networks: NetworkNamespaces;
  /** By id; undefined while one is being made. */
  readonly #pods = new Map<string, Pod | undefined>();

  constructor(networks: NetworkNamespaces) {
    this.#networks = networks;
  }

  /**
   * Decides where a container goes, and makes what has to be there before it: for a sandbox its pod.
   * @param undo gets the steps that take it back
   * @throws AgentError INVALID_ARGUMENT, SYSTEM_NOT_FOUND for a workload whose pod is not there
   */
  async place(request: PlacementRequest, undo: CleanupStack): Promise<Placement> {
    const role = roleOf(request.id, request.spec);
    refuseUnsupported(request.id, request.spec);
    if (role.kind === "standalone") return this.#placeAlone(request);
    return role.kind === "sandbox"
      ? await this.#placeSandbox(request, role, undo)
      : await this.#placeWorkload(request, role.podId, undo);
  }

  /** The pod that has this container for its sandbox. */
  ofSandbox(id: string): Pod | undefined {
    return this.#pods.get(id);
  }

  /** Takes a container out of its pod, and the pod away with its sandbox. @throws AgentError as Pod.remove() */
  async remove(pod: Pod, id: string): Promise<void> {
    if (id === pod.id) {
      await pod.remove();
      this.#pods.delete(id);
    }
    pod.members.delete(id);
  }

  #placeAlone(request: PlacementRequest): Placement {
    const { id, bundlePath, machineName, cgroupParent } = request;
    const resolved = resolvePodMounts(request.spec.mounts ?? [], undefined);
    checkVmPaths(resolved.needed);
    const spec = withMounts(request.spec, resolved);
    const networkNamespace = namespaceOf(spec);
    const nameServers = this.#networks.nameServers(networkNamespace);
    const files = missingEtcFiles(spec, etcFiles(spec, machineName, nameServers));
    return {
      networkNamespace,
      spec: limited({ ...spec, mounts: [...(spec.mounts ?? []), ...etcMounts(spec, bundlePath, files)] }),
      files,
      cgroupsPath: `${cgroupParent}/${cgroupDirectoryName(id)}`,
      hostNetwork: isTrue(spec, "hostNetwork"),
      pod: undefined,
      isSandbox: false,
      needed: resolved.needed,
    };
  }

  async #placeSandbox(
    { id, bundlePath, spec, machineName, cgroupParent }: PlacementRequest,
    { isVirtual }: Extract<ContainerRole, { kind: "sandbox" }>,
    undo: CleanupStack,
  ): Promise<Placement> {
    if (this.#pods.has(id)) throw new AgentError("SYSTEM_ALREADY_EXISTS", `pod ${id} already exists`);
    const limitedSpec = limited(spec);
    const networkNamespace = namespaceOf(spec);
    if (!isVirtual && !skipsPodNetworking(spec) && !this.#networks.has(networkNamespace)) {
      throw new AgentError(
        "NAMESPACE_NOT_FOUND",
        `network namespace ${quote(networkNamespace)} of sandbox ${id} has no adapter yet: add one, or say that the pod has no network by annotation ${ANNOTATIONS.skipPodNetworking}`,
      );
    }
    const hostNetwork = isTrue(spec, "hostNetwork");
    const cgroupPath = `${cgroupParent}/${cgroupDirectoryName(id)}`;
    const root = isVirtual ? `${dirname(bundlePath)}/virtual-pods/${id}` : bundlePath;
    const other = [...this.#pods.values()].find((pod) => pod?.root === root);
    if (other !== undefined)
      throw new AgentError(
        "INVALID_STATE",
        `${quote(root)}, the root of pod ${id}, is that of pod ${other.id}`,
      );
    this.#pods.set(id, undefined);
    undo.push(`forget pod ${id}`, () => void this.#pods.delete(id));
    const pod = await Pod.create({
      id,
      root,
      files: etcFiles(spec, machineName, this.#networks.nameServers(networkNamespace)),
      cgroupPath,
      resources: spec.linux?.resources ?? {},
      hostNetwork,
    });
    undo.push(`remove pod ${id}`, () => pod.remove());
    this.#pods.set(id, pod);
    return {
      networkNamespace,
      spec: withLogDirectory(limitedSpec, pod.logDirectory),
      files: [],
      cgroupsPath: `${cgroupPath}/${cgroupDirectoryName(id)}`,
      hostNetwork,
      pod,
      isSandbox: true,
      needed: [],
    };
  }

  async #placeWorkload(
    { id, spec, cgroupParent }: PlacementRequest,
    podId: string,
    undo: CleanupStack,
  ): Promise<Placement> {
    const pod = this.#pods.get(podId);
    if (pod === undefined) {
      const [code, is] = this.#pods.has(podId)
        ? (["INVALID_STATE", "is still being made"] as const)
        : (["SYSTEM_NOT_FOUND", "does not exist"] as const);
      throw new AgentError(code, `pod ${quote(podId)} ${is}; container ${id} is a workload of it`);
    }
    if (spec.hostname !== undefined && spec.hostname !== "") {
      throw new AgentError(
        "INVALID_ARGUMENT",
        `container ${id} has host name ${quote(spec.hostname)}; in a pod it is the sandbox's`,
      );
    }
    pod.members.add(id);
    undo.push(`take ${id} out of pod ${podId}`, () => void pod.members.delete(id));
    const resolved = resolvePodMounts(spec.mounts ?? [], pod.root);
    checkVmPaths(resolved.needed);
    const made = await pod.provide(resolved.needed);
    undo.push(`remove what ${id} needed of its pod`, async () => {
      const [failure] = await made.run();
      if (failure !== undefined) throw failure.cause;
    });
    const mounted = withMounts(spec, resolved);
    const files = missingEtcFiles(mounted, pod.files);
    const named = {
      ...mounted,
      mounts: [...(mounted.mounts ?? []), ...etcMounts(mounted, pod.root, files)],
    };
    return {
      networkNamespace: "",
      spec: withLogDirectory(withNamedDevices(sharedMemorySized(limited(named))), pod.logDirectory),
      files: [],
      cgroupsPath: `${cgroupParent}/${cgroupDirectoryName(podId)}/${cgroupDirectoryName(id)}`,
      hostNetwork: pod.hostNetwork,
      pod,
      isSandbox: false,
      needed: resolved.needed,
    };
  }
}

/** What would be left out in silence. @throws AgentError NOT_SUPPORTED */
function refuseUnsupported(id: string, spec: OciSpec): void {
  if (annotation(spec, "logPath") !== "") {
    throw new AgentError(
      "NOT_SUPPORTED",
      `annotation ${ANNOTATIONS.logPath} of ${id}: this agent does not copy output into a file yet`,
    );
  }
}

function namespaceOf(spec: OciSpec): string {
  return spec.windows?.network?.networkNamespace ?? "";
}

/** With the mounts' sources found, and a rule for each disk among them. */
function withMounts(spec: OciSpec, { mounts, blockDevices }: PodMounts): OciSpec {
  let linux = spec.linux ?? {};
  for (const { source, options } of blockDevices)
    linux = withBlockDevice(linux, linkedDevice(source ?? ""), options?.includes("ro") === true);
  return { ...spec, linux, ...(spec.mounts !== undefined && { mounts: [...mounts] }) };
}

/** @throws AgentError INVALID_ARGUMENT for a path of the VM that is not there */
function checkVmPaths(needed: readonly NeededPath[]): void {
  for (const { path, below } of needed) {
    if (below !== undefined || statSync(path, { throwIfNoEntry: false }) !== undefined) continue;
    throw new AgentError(
      "INVALID_ARGUMENT",
      `${quote(path)}, which is to be mounted, is not in the utility VM`,
    );
  }
}

function withNamedDevices(spec: OciSpec): OciSpec {
  const linux = spec.linux ?? {};
  if (isTrue(spec, "privileged")) return { ...spec, linux: withAllDevices(linux, allDevices()) };
  return {
    ...spec,
    linux: withDevices(
      linux,
      (linux.devices ?? []).map(({ path }) => deviceAt(path)),
    ),
  };
}

function limited(spec: OciSpec): OciSpec {
  return { ...spec, process: coreLimited(spec.process, spec) };
}

/** @throws AgentError INVALID_ARGUMENT for a place that is not absolute */
function withLogDirectory(spec: OciSpec, logDirectory: string): OciSpec {
  const destination = annotation(spec, "logDirectoryMount");
  if (destination === "") return spec;
  if (!destination.startsWith("/")) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `annotation ${ANNOTATIONS.logDirectoryMount} is ${quote(destination)}, no absolute path`,
    );
  }
  const mount = { destination, type: "bind", source: logDirectory, options: ["bind"] };
  return { ...spec, mounts: [...(spec.mounts ?? []), mount] };
}
