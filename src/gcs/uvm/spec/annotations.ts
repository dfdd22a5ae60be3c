/** What hosts say of a container by annotation. Names and meaning: hcsshim pkg/annotations. docs/annotations.md lists them. */
import { AgentError } from "../../../common/errors.ts";
import type { OciSpec } from "../../../protocol/schemas/oci.ts";

export const ANNOTATIONS = {
  containerType: "io.kubernetes.cri.container-type",
  sandboxId: "io.kubernetes.cri.sandbox-id",
  virtualPodId: "io.microsoft.cri.virtual-pod-id",
  skipPodNetworking: "io.microsoft.cri.skip-pod-networking",
  hostNetwork: "io.microsoft.virtualmachine.lcow.hostnetwork",
  privileged: "io.microsoft.virtualmachine.lcow.privileged",
  coreLimit: "io.microsoft.lcow.rlimitcore",
  sharedMemorySize: "io.microsoft.lcow.shm.size-kb",
  logDirectoryMount: "io.microsoft.container.lcow.tee-log-dir-mount",
  logPath: "io.microsoft.container.lcow.tee-log-path",
} as const;

/** What a container is to the others of its utility VM. */
export type ContainerRole =
  | { readonly kind: "standalone" }
  /** The first of its pod. `isVirtual`: one of several pods whose VM has another sandbox. */
  | { readonly kind: "sandbox"; readonly podId: string; readonly isVirtual: boolean }
  | { readonly kind: "workload"; readonly podId: string };

/** @returns "" for an annotation that is not there. */
export function annotation(spec: OciSpec, name: keyof typeof ANNOTATIONS): string {
  return spec.annotations?.[ANNOTATIONS[name]] ?? "";
}

/** What Go's strconv.ParseBool takes for true; anything else is false, as it is to hcsshim's guest. */
export function isTrue(spec: OciSpec, name: "hostNetwork" | "privileged"): boolean {
  return ["1", "t", "T", "true", "TRUE", "True"].includes(annotation(spec, name));
}

/** This one alone is compared without case, and by one word. */
export function skipsPodNetworking(spec: OciSpec): boolean {
  return annotation(spec, "skipPodNetworking").toLowerCase() === "true";
}

/**
 * Of an id that names a pod nothing is checked: it is looked up among those that there are.
 * @throws AgentError INVALID_ARGUMENT for an unknown type, and a workload that names no pod.
 */
export function roleOf(id: string, spec: OciSpec): ContainerRole {
  const virtualPodId = annotation(spec, "virtualPodId");
  const isVirtual = virtualPodId !== "";
  if (isVirtual && virtualPodId === id) return { kind: "sandbox", podId: id, isVirtual };
  const type = spec.annotations?.[ANNOTATIONS.containerType];
  switch (type) {
    case undefined:
      return { kind: "standalone" };
    case "sandbox":
      if (!isVirtual) return { kind: "sandbox", podId: id, isVirtual };
      throw new AgentError(
        "INVALID_ARGUMENT",
        `container ${id} is said to be a sandbox, and annotation ${ANNOTATIONS.virtualPodId} names another one: ${quote(virtualPodId)}`,
      );
    case "container": {
      const podId = isVirtual ? virtualPodId : annotation(spec, "sandboxId");
      if (podId !== "") return { kind: "workload", podId };
      throw new AgentError(
        "INVALID_ARGUMENT",
        `container ${id} is a workload of no pod: annotation ${ANNOTATIONS.sandboxId} is missing`,
      );
    }
    default:
      throw new AgentError(
        "INVALID_ARGUMENT",
        `annotation ${ANNOTATIONS.containerType} of ${id} is ${quote(type)}; it is "sandbox", "container", or left out for a container of its own`,
      );
  }
}

export function quote(text: string): string {
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64).toWellFormed()}...` : text);
}
