/** What stands in a container's /etc/hosts and /etc/resolv.conf. Source: hcsshim internal/guest/network. */
import { AgentError } from "../common/errors.ts";

/** `search` takes six domains at most: resolv.conf(5). */
const MAXIMUM_SEARCH_DOMAINS = 6;

/** A host name goes to the kernel, 64 bytes at most (uname(2)), and into files line by line, without what breaks out of a line. */
export function checkHostname(hostname: string): void {
  if (!/^[A-Za-z0-9_.-]{0,64}$/.test(hostname)) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `host name ${JSON.stringify(hostname.slice(0, 64).toWellFormed())}${hostname.length > 64 ? ` (${hostname.length} characters)` : ""} is not 0 to 64 of letters, digits, ".", "_" and "-"`,
    );
  }
}

export function etcHosts(hostname: string): string {
  const short = hostname.split(".")[0] ?? "";
  const names = short === hostname || short === "" ? hostname : `${hostname} ${short}`;
  return [
    "127.0.0.1 localhost",
    `127.0.0.1 ${names}`,
    "",
    "# The following lines are desirable for IPv6 capable hosts",
    "::1     ip6-localhost ip6-loopback",
    "fe00::0 ip6-localnet",
    "ff00::0 ip6-mcastprefix",
    "ff02::1 ip6-allnodes",
    "ff02::2 ip6-allrouters",
    "",
  ].join("\n");
}

/** @throws AgentError INVALID_ARGUMENT for more than six search domains. */
export function etcResolvConf(searches: readonly string[], servers: readonly string[]): string {
  if (searches.length > MAXIMUM_SEARCH_DOMAINS) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `${searches.length} search domains; resolv.conf takes 6 at most`,
    );
  }
  const search = searches.length > 0 ? `search ${searches.join(" ")}\n` : "";
  return search + servers.map((server) => `nameserver ${server}\n`).join("");
}
