/** Which interface of the machine an adapter is, awaited where it has just been plugged in. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { AgentError } from "../common/errors.ts";
import { isSystemError } from "../common/system-error.ts";

export interface AdapterIdentity {
  /** GUID in lower case: on Hyper-V the instance on its bus. */
  readonly id: string;
  /** In lower case, with colons. */
  readonly mac: string | undefined;
  /** A PCI device that was passed through. */
  readonly isPci: boolean;
}

export interface NetworkInterface {
  readonly name: string;
  /** Bytes. */
  readonly mtu: number;
}

const INTERFACES = "/sys/class/net";
const VMBUS = "/sys/bus/vmbus/devices";
/** A PCI device is this deep below its bus: domain, device, "net". */
const PCI_DEPTH = 3;
/** As hcsshim's guest waits for one. */
const DEADLINE_MS = 5_000;
/** A link that came before its listener: the listener does not say from when on it hears. */
const LOOK_AGAIN_MS = 500;

/** @throws AgentError DEVICE_NOT_FOUND when it is not there within 5 s */
export async function waitForInterface(adapter: AdapterIdentity): Promise<NetworkInterface> {
  const found = find(adapter);
  if (found !== undefined) return found;
  const deadline = performance.now() + DEADLINE_MS;
  await using links = await listenForLinks();
  while (performance.now() < deadline) {
    const now = find(adapter);
    if (now !== undefined) return now;
    await Promise.race([links.next(), delay(LOOK_AGAIN_MS)]);
  }
  const by =
    adapter.mac === undefined ? `GUID ${adapter.id}` : `GUID ${adapter.id} or MAC address ${adapter.mac}`;
  throw new AgentError(
    "DEVICE_NOT_FOUND",
    `no network adapter of ${by} came within ${DEADLINE_MS / 1000} s; the machine has ${entries(INTERFACES).join(", ")}`,
  );
}

function find({ id, mac, isPci }: AdapterIdentity): NetworkInterface | undefined {
  const name = onVmbus(`${VMBUS}/${id}`, isPci ? PCI_DEPTH : 0) ?? (mac && byMac(mac));
  if (!name) return undefined;
  return { name, mtu: Number(read(`${INTERFACES}/${name}/mtu`)) };
}

function onVmbus(device: string, depth: number): string | undefined {
  const [name] = entries(`${device}/net`);
  if (name !== undefined || depth === 0) return name;
  for (const below of entries(device)) {
    if (!/^(pci)?[0-9a-f]{4}:/.test(below)) continue;
    const found = onVmbus(`${device}/${below}`, depth - 1);
    if (found !== undefined) return found;
  }
  return undefined;
}

function byMac(mac: string): string | undefined {
  return entries(INTERFACES).find((name) => read(`${INTERFACES}/${name}/address`) === mac);
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isSystemError(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, "latin1").trim();
  } catch (error) {
    // It was unplugged, or has none.
    if (isSystemError(error, "ENOENT", "ENODEV", "EINVAL")) return "";
    throw error;
  }
}

/** Each change of the machine's interfaces, as iproute2 tells it. */
async function listenForLinks(): Promise<AsyncDisposable & { next(): Promise<unknown> }> {
  // Loaded only by who waits; it takes 42 ms.
  const { execa } = await import("execa");
  const child = execa("ip", ["-oneline", "monitor", "link"], {
    stdin: "ignore",
    buffer: false,
    reject: false,
  });
  const lines = child.iterable();
  return {
    // When it has ended, the look every half second is what is left.
    next: () => lines.next().then(({ done }) => (done ? new Promise(() => {}) : undefined)),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child;
    },
  };
}
