/**
 * Pure edits of an OCI spec: what a standalone container gets that the host did not put in.
 * Source: hcsshim internal/guest/runtime/hcsv2 (standalone_container.go).
 */
import { checkHostname, etcHosts, etcResolvConf } from "../../network/etc-files.ts";
import type { OciMount, OciSpec } from "../../protocol/schemas/oci.ts";

export interface GeneratedFile {
  /** Name in the bundle directory. */
  readonly name: string;
  readonly destination: string;
  readonly content: string;
}

const CGROUP_MOUNT = "/sys/fs/cgroup";

/** Source: hcsshim pkg/annotations, LCOWPrivileged. */
const PRIVILEGED_ANNOTATION = "io.microsoft.virtualmachine.lcow.privileged";

/** Whether the host wants the container to be as mighty as the utility VM itself. */
export function isPrivileged(spec: OciSpec): boolean {
  // What Go's strconv.ParseBool takes for true.
  return ["1", "t", "T", "true", "TRUE", "True"].includes(spec.annotations?.[PRIVILEGED_ANNOTATION] ?? "");
}

/** The files under /etc that the spec's own mounts do not already provide. */
export function generatedFiles(spec: OciSpec, defaultHostname: string): GeneratedFile[] {
  const hostname = spec.hostname === undefined || spec.hostname === "" ? defaultHostname : spec.hostname;
  checkHostname(hostname);
  if (typeof spec.domainname === "string") checkHostname(spec.domainname);
  const files: GeneratedFile[] = [
    { name: "hostname", destination: "/etc/hostname", content: `${hostname}\n` },
    { name: "hosts", destination: "/etc/hosts", content: etcHosts(hostname) },
    { name: "resolv.conf", destination: "/etc/resolv.conf", content: etcResolvConf([], []) },
  ];
  const mounted = new Set((spec.mounts ?? []).map((mount) => mount.destination));
  return files.filter((file) => !mounted.has(file.destination));
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
 * The spec that the runtime gets: generated files bound in, the cgroup the agent's choice, and no Windows
 * section. The host's object is left as it was.
 */
export function standaloneSpec(
  spec: OciSpec,
  options: {
    bundlePath: string;
    cgroupsPath: string;
    files: readonly GeneratedFile[];
    /** The machine has cgroup v2 alone. */
    unifiedCgroups: boolean;
  },
): OciSpec {
  const readonly = spec.root?.readonly === true ? ["ro"] : [];
  const mounts: OciMount[] = options.files.map((file) => ({
    destination: file.destination,
    type: "bind",
    source: `${options.bundlePath}/${file.name}`,
    options: ["bind", ...readonly],
  }));
  const { windows: _, ...rest } = spec;
  return {
    ...rest,
    // Without one it would have the agent's, which the kernel is told to spare.
    process: { ...spec.process, oomScoreAdj: spec.process.oomScoreAdj ?? 0 },
    mounts: [
      ...(spec.mounts ?? []).map((mount) => (options.unifiedCgroups ? cgroupMount(mount, spec) : mount)),
      ...mounts,
    ],
    linux: { ...spec.linux, cgroupsPath: options.cgroupsPath },
  };
}
