/** Pure edits of an OCI spec: what the runtime gets of what the host sent. */
import { AgentError } from "../../../common/errors.ts";
import type { OciMount, OciSpec } from "../../../protocol/schemas/oci.ts";

const CGROUP_MOUNT = "/sys/fs/cgroup";

export interface RuntimeSpecOptions {
  readonly cgroupsPath: string;
  /** The machine has cgroup v2 alone. */
  readonly unifiedCgroups: boolean;
  /** The container is in the machine's own network namespace. */
  readonly hostNetwork: boolean;
}

/**
 * Whoever mounts cgroup2 from the machine's own cgroup namespace sets its flags for all who have it mounted, and a
 * runtime that makes such a mount for a container takes "nsdelegate" away, which keeps containers from lifting their
 * limits; cgroup_get_tree() in kernel/cgroup/cgroup.c of Linux. So that container gets a bind of the machine's mount,
 * which looks the same.
 */
function cgroupMount(mount: OciMount, spec: OciSpec): OciMount {
  const namespaces = spec.linux?.namespaces ?? [];
  if (mount.type !== "cgroup" && mount.type !== "cgroup2") return mount;
  if (namespaces.some(({ type, path }) => type === "cgroup" && !path)) return mount;
  return { ...mount, type: "bind", source: CGROUP_MOUNT, options: ["bind", ...(mount.options ?? [])] };
}

/**
 * Without a mount namespace of its own what a container mounts is mounted in the utility VM, and stays there.
 * @throws AgentError INVALID_ARGUMENT
 */
export function checkNamespaces(spec: OciSpec): void {
  const has = (spec.linux?.namespaces ?? []).some(({ type, path }) => type === "mount" && !path);
  if (has) return;
  throw new AgentError(
    "INVALID_ARGUMENT",
    'OciSpecification.linux.namespaces has no { "type": "mount" } of the container\'s own: its mounts would be the utility VM\'s',
  );
}

/** The cgroup the agent's choice, and no Windows section. The host's object is left as it was. */
export function runtimeSpec(spec: OciSpec, options: RuntimeSpecOptions): OciSpec {
  const { windows: _, ...rest } = spec;
  const namespaces = spec.linux?.namespaces;
  return {
    ...rest,
    // Without one it would have the agent's, which the kernel is told to spare.
    process: { ...spec.process, oomScoreAdj: spec.process.oomScoreAdj ?? 0 },
    mounts: (spec.mounts ?? []).map((mount) => (options.unifiedCgroups ? cgroupMount(mount, spec) : mount)),
    linux: {
      ...spec.linux,
      ...(namespaces !== undefined &&
        options.hostNetwork && { namespaces: namespaces.filter(({ type }) => type !== "network") }),
      cgroupsPath: options.cgroupsPath,
    },
  };
}
