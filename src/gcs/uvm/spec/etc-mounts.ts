/** The files under /etc that say who a container is and whom it can reach. */
import { checkHostname, etcHosts, etcResolvConf } from "../../../network/etc-files.ts";
import type { OciMount, OciSpec } from "../../../protocol/schemas/oci.ts";

/** One that the agent writes: into the bundle of a standalone container, into the root of a pod for all of its. */
export interface EtcFile {
  /** In that directory. */
  readonly name: string;
  readonly destination: string;
  readonly content: string;
}

/** Of the adapters of a network namespace. */
export interface NameServers {
  readonly searches: readonly string[];
  readonly servers: readonly string[];
}

/** @throws AgentError INVALID_ARGUMENT for a host name that would break out of its line, and too many search domains. */
export function etcFiles(
  spec: OciSpec,
  defaultHostname: string,
  { searches, servers }: NameServers = { searches: [], servers: [] },
): EtcFile[] {
  const hostname = spec.hostname === undefined || spec.hostname === "" ? defaultHostname : spec.hostname;
  checkHostname(hostname);
  if (typeof spec.domainname === "string") checkHostname(spec.domainname);
  return [
    { name: "hostname", destination: "/etc/hostname", content: `${hostname}\n` },
    { name: "hosts", destination: "/etc/hosts", content: etcHosts(hostname) },
    { name: "resolv.conf", destination: "/etc/resolv.conf", content: etcResolvConf(searches, servers) },
  ];
}

/** Those for which the spec has no mount of its own. */
export function missingEtcFiles(spec: OciSpec, files: readonly EtcFile[]): EtcFile[] {
  const mounted = new Set((spec.mounts ?? []).map((mount) => mount.destination));
  return files.filter((file) => !mounted.has(file.destination));
}

/** @param directory that holds them */
export function etcMounts(spec: OciSpec, directory: string, files: readonly EtcFile[]): OciMount[] {
  const readonly = spec.root?.readonly === true ? ["ro"] : [];
  return files.map(({ destination, name }) => ({
    destination,
    type: "bind",
    source: `${directory}/${name}`,
    options: ["bind", ...readonly],
  }));
}
