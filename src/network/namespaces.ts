/**
 * The network namespaces that hosts name, and their adapters. An adapter may come before its container, or later; what is
 * there when the container's first process is made moves to it then, and what comes later at once.
 * Behaviour: hcsshim internal/guest/runtime/hcsv2/network.go.
 */
import { existsSync } from "node:fs";
import { AgentError } from "../common/errors.ts";
import { runHelper } from "../common/helper.ts";
import type { Logger } from "../common/log.ts";
import { checkGuid, checkMac } from "./addresses.ts";
import { requestLease } from "./dhcp.ts";
import { type NetworkInterface, waitForInterface } from "./interfaces.ts";
import { type AdapterConfiguration, nameServersOf, planAdapter } from "./plan.ts";

export interface Adapter extends AdapterConfiguration {
  readonly NamespaceID?: string | undefined;
  readonly ID: string;
  readonly MacAddress?: string | undefined;
  readonly DNSSuffix?: string | undefined;
  readonly DNSServerList?: string | undefined;
  readonly VPCIAssigned?: boolean | undefined;
  readonly PolicyBasedRouting?: boolean | undefined;
  readonly EnableLowMetric?: boolean | undefined;
}

export interface NameServers {
  readonly searches: readonly string[];
  readonly servers: readonly string[];
}

/** Of the machine itself, for containers on the host's network. */
export const MACHINE = "machine";
type Place = number | typeof MACHINE;

interface AdapterRecord {
  readonly settings: Adapter;
  readonly id: string;
  readonly interface: NetworkInterface;
  /** Where it was configured. */
  place: Place | undefined;
}

interface Namespace {
  readonly id: string;
  readonly adapters: AdapterRecord[];
  /** Of its container's first process. */
  place: Place | undefined;
  /** Changes to it, one after another. */
  last: Promise<unknown>;
}

export class NetworkNamespaces {
  readonly #log: Logger;
  readonly #namespaces = new Map<string, Namespace>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /**
   * @throws AgentError INVALID_ARGUMENT for what is no adapter, INVALID_STATE for one that is there, DEVICE_NOT_FOUND, and
   *   HELPER_FAILED, HELPER_TIMEOUT for what the kernel or a DHCP server does not give; then it is as before
   */
  async add(settings: Adapter): Promise<void> {
    const id = checkGuid(settings.ID, "ID");
    if (settings.NamespaceID) checkGuid(settings.NamespaceID, "NamespaceID");
    const mac = settings.MacAddress ? checkMac(settings.MacAddress, "MacAddress") : undefined;
    // All that is wrong with it is told before anything is waited for.
    planAdapter(settings, { interfaceName: "eth0", mtu: 0xffff, position: 0 });
    nameServersOf([settings]);
    const namespace = this.#getOrMake(settings.NamespaceID ?? "");
    await inTurn(namespace, async () => {
      if (namespace.adapters.some((adapter) => adapter.id === id))
        throw new AgentError(
          "INVALID_STATE",
          `adapter ${id} is in network namespace ${namespace.id} already`,
        );
      const found = await waitForInterface({ id, mac, isPci: settings.VPCIAssigned === true });
      const adapter: AdapterRecord = { settings, id, interface: found, place: undefined };
      namespace.adapters.push(adapter);
      try {
        await this.#settle(namespace);
      } catch (error) {
        namespace.adapters.splice(namespace.adapters.indexOf(adapter), 1);
        throw error;
      }
    });
    this.#forgetIfEmpty(namespace);
  }

  /** What is not there is no error. The interface stays where it is until the host takes the device away. */
  async remove(settings: Adapter): Promise<void> {
    const id = settings.ID.replace(/[{}]/g, "").toLowerCase();
    const namespace = this.#namespaces.get(keyOf(settings.NamespaceID ?? ""));
    if (namespace === undefined) return;
    await inTurn(namespace, async () => {
      const index = namespace.adapters.findIndex((adapter) => adapter.id === id);
      if (index >= 0) namespace.adapters.splice(index, 1);
    });
    this.#forgetIfEmpty(namespace);
  }

  has(id: string): boolean {
    return this.#namespaces.has(keyOf(id));
  }

  /** Those of its adapters, for /etc/resolv.conf. */
  nameServers(id: string): NameServers {
    return nameServersOf((this.#namespaces.get(keyOf(id))?.adapters ?? []).map(({ settings }) => settings));
  }

  /**
   * Gives a container the adapters of a namespace.
   * @param place the pid of its first process, or the machine where it is on the host's network
   * @throws AgentError INVALID_STATE where another container has them, and as add()
   */
  async assign(id: string, place: Place): Promise<void> {
    const namespace = this.#getOrMake(id);
    await inTurn(namespace, async () => {
      if (namespace.place !== undefined) {
        throw new AgentError("INVALID_STATE", `network namespace ${namespace.id} is another container's`);
      }
      namespace.place = place;
      try {
        await this.#settle(namespace);
      } catch (error) {
        namespace.place = undefined;
        throw error;
      }
    });
  }

  /** Its container is gone, and the adapters with its namespace. */
  release(id: string, place: Place): void {
    const namespace = this.#namespaces.get(keyOf(id));
    if (namespace?.place !== place) return;
    namespace.place = undefined;
    for (const adapter of namespace.adapters) adapter.place = undefined;
    this.#forgetIfEmpty(namespace);
  }

  /** For a dump of what there is. */
  describe(): string[] {
    return [...this.#namespaces.values()].map(({ id, place, adapters }) => {
      const names = adapters.map((adapter) => `${adapter.interface.name}=${adapter.id}`).join(" ");
      return `${id || "(unnamed)"} ${place === undefined ? "no container" : `at ${place}`} ${names || "no adapters"}`;
    });
  }

  #getOrMake(id: string): Namespace {
    const key = keyOf(id);
    let namespace = this.#namespaces.get(key);
    if (namespace === undefined) {
      namespace = { id: key, adapters: [], place: undefined, last: Promise.resolve() };
      this.#namespaces.set(key, namespace);
    }
    return namespace;
  }

  #forgetIfEmpty(namespace: Namespace): void {
    if (namespace.adapters.length > 0 || namespace.place !== undefined) return;
    if (this.#namespaces.get(namespace.id) === namespace) this.#namespaces.delete(namespace.id);
  }

  async #settle(namespace: Namespace): Promise<void> {
    const { place, adapters } = namespace;
    if (place === undefined) return;
    for (const [index, adapter] of adapters.entries()) {
      if (adapter.place === place) continue;
      const started = performance.now();
      await settle(adapter, place, adapter.settings.PolicyBasedRouting === true ? index : 0);
      adapter.place = place;
      this.#log.info(
        {
          namespace: namespace.id,
          adapter: adapter.id,
          interface: adapter.interface.name,
          place,
          durationMs: Math.round(performance.now() - started),
        },
        "network adapter configured",
      );
    }
  }
}

async function settle(adapter: AdapterRecord, place: Place, position: number): Promise<void> {
  const { settings, id } = adapter;
  const { name: interfaceName, mtu } = adapter.interface;
  const within = place === MACHINE ? [] : ["nsenter", `-n/proc/${place}/ns/net`];
  const options = { interfaceName, mtu, position };
  const isGiven = (settings.IPConfigs ?? []).length > 0;
  const lines = planAdapter(settings, options);
  try {
    if (place !== MACHINE)
      await batch([], [`link set dev ${interfaceName} down`, `link set dev ${interfaceName} netns ${place}`]);
    try {
      if (isGiven) return await batch(within, lines);
      const [up = []] = [lines.filter((line) => line.startsWith("link "))];
      await batch(within, up);
      const lease = await requestLease(interfaceName, within);
      const added = planAdapter(lease, options).filter((line) => !line.startsWith("link "));
      await batch(within, added);
    } catch (error) {
      if (place !== MACHINE)
        await batch(within, [
          `link set dev ${interfaceName} down`,
          `link set dev ${interfaceName} netns ${process.pid}`,
        ]);
      throw error;
    }
  } catch (cause) {
    const code = cause instanceof AgentError ? cause.code : "HELPER_FAILED";
    const where = place === MACHINE ? "the machine" : `the network of process ${place}`;
    throw new AgentError(code, `adapter ${id} (${interfaceName}) could not be set up in ${where}`, { cause });
  }
}

/** All or, from the first that the kernel refuses on, none of the rest; the error tells its line. */
async function batch(within: readonly string[], lines: readonly string[]): Promise<void> {
  const [program = "", ...args] = [...within, iproute2(), "-batch", "-"];
  await runHelper(program, args, { input: `${lines.join("\n")}\n`, deadlineMs: DEADLINE_MS });
}

/** By its path: by the name alone, busybox's nsenter would run the ip that it has itself, which knows no batch. */
function iproute2(): string {
  const directories = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
  const found = directories.map((directory) => `${directory}/ip`).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new AgentError("HELPER_FAILED", "ip is not there: install the Debian package iproute2");
}

/** The kernel answers within milliseconds. */
const DEADLINE_MS = 10_000;

function keyOf(id: string): string {
  return id.replace(/[{}]/g, "").toLowerCase();
}

async function inTurn(namespace: Namespace, change: () => Promise<void>): Promise<void> {
  const before = namespace.last;
  const done = before.then(change);
  namespace.last = done.catch(() => {});
  await done;
}
