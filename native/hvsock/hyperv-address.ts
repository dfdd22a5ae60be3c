import { AgentError } from "../../src/common/errors.ts";
import { vsockCid } from "./address.ts";

/**
 * Hyper-V sockets as Windows sees them: an address is a VM id and a service id, both GUIDs. The Linux guest
 * sees vsock: a context id and a port. Facts from hvsocket.h of the Windows SDK and from
 * https://learn.microsoft.com/virtualization/hyper-v-on-windows/user-guide/make-integration-service.
 */

/** AF_HYPERV. */
export const hypervFamily = 34;
/** u16 family, u16 reserved, GUID VmId, GUID ServiceId. */
export const hypervAddressBytes = 2 + 2 + 16 + 16;

/** VM ids with a meaning of their own. */
export const hypervVmId = {
  /** HV_GUID_ZERO, also the wildcard: listen for every VM. */
  wildcard: "00000000-0000-0000-0000-000000000000",
  broadcast: "ffffffff-ffff-ffff-ffff-ffffffffffff",
  /** Listen for children of this partition. */
  children: "90db8b89-0d35-4f79-8ce9-49ea0ac8b7cd",
  loopback: "e0e16197-dd56-4a10-9195-5ee7a155a838",
  /** The partition that this VM runs under. */
  parent: "a42e7cda-d03f-480c-9cc2-a4de20abb878",
  /** The utility VM's host as seen from a container in it. */
  siloHost: "36bd0c5c-7276-4223-88ba-7d03b654c568",
} as const;

const cidOfVmId = new Map<string, number>([
  [hypervVmId.wildcard, vsockCid.any],
  [hypervVmId.loopback, vsockCid.local],
  [hypervVmId.parent, vsockCid.host],
]);

/** The service ids that Linux maps to ports: the first eight hexadecimal digits are the port. */
const serviceIdTemplate = "-facb-11e6-bd58-64006a7986d3";
const guidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export interface HypervAddress {
  /** Lower-case GUID. */
  readonly vmId: string;
  /** Lower-case GUID. */
  readonly serviceId: string;
}

/** @param port 0 to 0xffffffff. @throws AgentError INVALID_ARGUMENT */
export function serviceIdOfPort(port: number): string {
  if (!Number.isInteger(port) || port < 0 || port > 0xffffffff) {
    throw new AgentError("INVALID_ARGUMENT", `vsock port ${port} is not an integer from 0 to 4294967295`);
  }
  return port.toString(16).padStart(8, "0") + serviceIdTemplate;
}

/** @throws AgentError INVALID_ARGUMENT when the GUID is none, or none that stands for a port. */
export function portOfServiceId(serviceId: string): number {
  const guid = checkedGuid(serviceId);
  if (!guid.endsWith(serviceIdTemplate)) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `service id ${guid} stands for no vsock port: those are xxxxxxxx${serviceIdTemplate}`,
    );
  }
  return Number.parseInt(guid.slice(0, 8), 16);
}

/** The context id that means the same to Linux, or undefined where there is none. */
export function cidOfVm(vmId: string): number | undefined {
  return cidOfVmId.get(checkedGuid(vmId));
}

/** The VM id that means the same to Windows, or undefined where there is none. */
export function vmOfCid(cid: number): string | undefined {
  for (const [vmId, mapped] of cidOfVmId) if (mapped === cid) return vmId;
  return undefined;
}

/** Encodes SOCKADDR_HV. @throws AgentError INVALID_ARGUMENT */
export function encodeHypervAddress(address: HypervAddress): Buffer {
  const bytes = Buffer.alloc(hypervAddressBytes);
  bytes.writeUInt16LE(hypervFamily, 0);
  writeGuid(bytes, 4, checkedGuid(address.vmId));
  writeGuid(bytes, 20, checkedGuid(address.serviceId));
  return bytes;
}

/** Decodes SOCKADDR_HV. @throws AgentError INVALID_DATA */
export function decodeHypervAddress(bytes: Uint8Array): HypervAddress {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.length < hypervAddressBytes) {
    throw new AgentError(
      "INVALID_DATA",
      `a Hyper-V socket address has ${hypervAddressBytes} bytes, not ${view.length}`,
    );
  }
  const family = view.readUInt16LE(0);
  if (family !== hypervFamily) {
    throw new AgentError("INVALID_DATA", `address family ${family} is not AF_HYPERV (${hypervFamily})`);
  }
  return { vmId: readGuid(view, 4), serviceId: readGuid(view, 20) };
}

function checkedGuid(guid: string): string {
  const lower = guid.toLowerCase();
  if (!guidPattern.test(lower)) throw new AgentError("INVALID_ARGUMENT", `"${guid}" is not a GUID`);
  return lower;
}

/** A GUID's first three fields are little endian in memory, the last eight bytes are in order. */
function writeGuid(bytes: Buffer, offset: number, guid: string): void {
  const digits = Buffer.from(guid.replaceAll("-", ""), "hex");
  bytes.writeUInt32LE(digits.readUInt32BE(0), offset);
  bytes.writeUInt16LE(digits.readUInt16BE(4), offset + 4);
  bytes.writeUInt16LE(digits.readUInt16BE(6), offset + 6);
  digits.copy(bytes, offset + 8, 8);
}

function readGuid(bytes: Buffer, offset: number): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");
  return [
    hex(bytes.readUInt32LE(offset), 8),
    hex(bytes.readUInt16LE(offset + 4), 4),
    hex(bytes.readUInt16LE(offset + 6), 4),
    bytes.toString("hex", offset + 8, offset + 10),
    bytes.toString("hex", offset + 10, offset + 16),
  ].join("-");
}
