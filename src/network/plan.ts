/**
 * What a network adapter is to become, as lines for `ip -batch`: pure, so that all of it is checked before anything changes.
 * Behaviour: hcsshim internal/guest/network/netns.go.
 */
import { AgentError } from "../common/errors.ts";
import { checkAddress, checkPrefixLength, isWithin, type Prefix, parsePrefix } from "./addresses.ts";

export interface AddressConfiguration {
  readonly IPAddress?: string | undefined;
  readonly PrefixLength?: number | undefined;
}

export interface RouteConfiguration {
  readonly NextHop?: string | undefined;
  readonly DestinationPrefix?: string | undefined;
  readonly Metric?: number | undefined;
}

export interface AdapterConfiguration {
  readonly IPConfigs?: readonly AddressConfiguration[] | undefined;
  readonly Routes?: readonly RouteConfiguration[] | undefined;
  readonly EncapOverhead?: number | undefined;
}

/** Routes of adapters after the first, with policy routing: each has a table of its own from here on. */
const FIRST_TABLE = 101;
const RULE_PRIORITY = 5;
/** Of such routes where the host names none. */
const LOW_METRIC = 500;

/** Hosts write these for "no gateway". */
const NO_GATEWAY = new Set(["0.0.0.0", "::"]);
const DEFAULTS = new Set(["0.0.0.0/0", "::/0"]);

export interface PlanOptions {
  readonly interfaceName: string;
  /** Bytes, as the adapter has it now. */
  readonly mtu: number;
  /**
   * For policy routing: how many adapters come before this one in its namespace. Answers from the address of a later one
   * leave by it, and else the first is preferred. 0 without policy routing.
   */
  readonly position: number;
}

/** @throws AgentError INVALID_ARGUMENT naming the field */
export function planAdapter(adapter: AdapterConfiguration, options: PlanOptions): string[] {
  const { interfaceName, mtu, position } = options;
  const table = position > 0 ? FIRST_TABLE + position - 1 : undefined;
  const addresses = (adapter.IPConfigs ?? []).map(readAddress);
  const routes = (adapter.Routes ?? []).flatMap((route, index) => readRoute(route, `Routes[${index}]`));
  const lines: string[] = [];
  if (adapter.EncapOverhead)
    lines.push(`link set dev ${interfaceName} mtu ${lowered(mtu, adapter.EncapOverhead)}`);
  lines.push(`link set dev ${interfaceName} up`);
  for (const { family, address, bits } of addresses) {
    lines.push(`address add ${address}/${bits} dev ${interfaceName}`);
    if (table === undefined) continue;
    const host = family === 4 ? 32 : 128;
    lines.push(`rule add from ${address}/${host} table ${table} priority ${RULE_PRIORITY}`);
  }
  for (const { destination, gateway, metric } of routes) {
    const words = [`route add ${destination}`];
    if (gateway !== undefined) words.push(`via ${gateway}`);
    words.push(`dev ${interfaceName}`);
    // A gateway that no address of the adapter has for a neighbour is one all the same, when the host says so.
    if (gateway !== undefined && !isNeighbour(gateway, addresses)) words.push("onlink");
    const chosen = metric > 0 ? metric : table === undefined ? 0 : LOW_METRIC;
    if (chosen > 0) words.push(`metric ${chosen}`);
    if (table !== undefined) words.push(`table ${table}`);
    lines.push(words.join(" "));
  }
  return lines;
}

function readAddress({ IPAddress = "", PrefixLength = 0 }: AddressConfiguration, index: number): Prefix {
  const field = `IPConfigs[${index}]`;
  const family = checkAddress(IPAddress, `${field}.IPAddress`);
  checkPrefixLength(PrefixLength, family, `${field}.PrefixLength`);
  return { family, address: IPAddress, bits: PrefixLength };
}

/** Its family is that of its addresses: a batch takes no option that says so. */
interface Route {
  readonly destination: string;
  readonly gateway: string | undefined;
  readonly metric: number;
}

/** @returns none for a default route without a gateway: that is how hosts say that there is none. */
function readRoute(route: RouteConfiguration, field: string): Route[] {
  const { NextHop = "", DestinationPrefix = "", Metric: metric = 0 } = route;
  const isDefault = DEFAULTS.has(DestinationPrefix);
  if (isDefault && NO_GATEWAY.has(NextHop)) return [];
  const prefix = parsePrefix(DestinationPrefix, `${field}.DestinationPrefix`);
  const destination = isDefault ? "default" : `${prefix.address}/${prefix.bits}`;
  if (NextHop === "" || NO_GATEWAY.has(NextHop)) {
    if (!isDefault) return [{ destination, gateway: undefined, metric }];
    throw new AgentError("INVALID_ARGUMENT", `${field} is a default route without a NextHop`);
  }
  const family = checkAddress(NextHop, `${field}.NextHop`);
  if (family === prefix.family) return [{ destination, gateway: NextHop, metric }];
  throw new AgentError(
    "INVALID_ARGUMENT",
    `${field}: NextHop ${NextHop} and DestinationPrefix ${DestinationPrefix} are of two families`,
  );
}

function isNeighbour(gateway: string, addresses: readonly Prefix[]): boolean {
  return /^fe[89ab]/i.test(gateway) || addresses.some((address) => isWithin(gateway, address));
}

/** IPv4 needs 68 bytes, RFC 791; less the kernel refuses, and says only that. */
const LEAST_MTU = 68;

function lowered(mtu: number, overhead: number): number {
  if (mtu - overhead >= LEAST_MTU) return mtu - overhead;
  throw new AgentError(
    "INVALID_ARGUMENT",
    `EncapOverhead ${overhead} leaves ${mtu - overhead} of the adapter's ${mtu} bytes; ${LEAST_MTU} are the least`,
  );
}

/** Search domains and name servers of adapters, each once, whatever its case. */
export function nameServersOf(
  adapters: readonly {
    readonly DNSSuffix?: string | undefined;
    readonly DNSServerList?: string | undefined;
  }[],
): { searches: string[]; servers: string[] } {
  const unique = (texts: readonly (string | undefined)[]) => [
    ...new Set(texts.flatMap((text) => (text ?? "").split(",")).map((part) => part.trim().toLowerCase())),
  ];
  const searches = unique(adapters.map(({ DNSSuffix }) => DNSSuffix)).filter(Boolean);
  const servers = unique(adapters.map(({ DNSServerList }) => DNSServerList)).filter(Boolean);
  for (const server of servers) checkAddress(server, "DNSServerList");
  for (const search of searches) checkDomain(search);
  return { searches, servers };
}

/** It goes into a line of resolv.conf. */
function checkDomain(domain: string): void {
  if (/^[a-z0-9_.-]{1,253}$/.test(domain)) return;
  throw new AgentError("INVALID_ARGUMENT", `DNSSuffix ${JSON.stringify(domain.slice(0, 64))} is no domain`);
}
