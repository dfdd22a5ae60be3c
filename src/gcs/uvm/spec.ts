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
 * The spec that the runtime gets: generated files bound in, the cgroup the agent's choice, and no Windows
 * section. The host's object is left as it was.
 */
export function standaloneSpec(
  spec: OciSpec,
  options: { bundlePath: string; cgroupsPath: string; files: readonly GeneratedFile[] },
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
    mounts: [...(spec.mounts ?? []), ...mounts],
    linux: { ...spec.linux, cgroupsPath: options.cgroupsPath },
  };
}
