/** What a host says of addresses, checked before any of it reaches a command line. */
import { isIPv4, isIPv6 } from "node:net";
import { AgentError } from "../common/errors.ts";

const GUID = /^\{?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\}?$/i;
const MAC = /^[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}$/i;

/** @returns in lower case, without braces. @throws AgentError INVALID_ARGUMENT */
export function checkGuid(text: string, field: string): string {
  const guid = GUID.exec(text)?.[1];
  if (guid !== undefined) return guid.toLowerCase();
  throw invalid(field, text, "is no GUID, as 11111111-2222-3333-4444-555555555555");
}

/** @returns as Linux writes it: lower case, colons. @throws AgentError INVALID_ARGUMENT */
export function checkMac(text: string, field: string): string {
  if (MAC.test(text)) return text.toLowerCase().replaceAll("-", ":");
  throw invalid(field, text, "is no MAC address, as 00-15-5d-00-00-01");
}

/** @returns 4 or 6. @throws AgentError INVALID_ARGUMENT; also for an IPv6 address with a zone */
export function checkAddress(text: string, field: string): 4 | 6 {
  if (isIPv4(text)) return 4;
  if (isIPv6(text) && !text.includes("%")) return 6;
  throw invalid(field, text, "is no IPv4 or IPv6 address");
}

/** @throws AgentError INVALID_ARGUMENT */
export function checkPrefixLength(bits: number, family: 4 | 6, field: string): void {
  const most = family === 4 ? 32 : 128;
  if (Number.isInteger(bits) && bits >= 0 && bits <= most) return;
  throw invalid(field, String(bits), `is no prefix length of an IPv${family} address: 0 to ${most}`);
}

export interface Prefix {
  readonly family: 4 | 6;
  readonly address: string;
  readonly bits: number;
}

/** "10.0.0.0/8". @throws AgentError INVALID_ARGUMENT */
export function parsePrefix(text: string, field: string): Prefix {
  const [address = "", bits = "", ...rest] = text.split("/");
  if (rest.length > 0 || !/^\d{1,3}$/.test(bits)) throw invalid(field, text, "is not ADDRESS/BITS");
  const family = checkAddress(address, field);
  checkPrefixLength(Number(bits), family, field);
  return { family, address, bits: Number(bits) };
}

/** Whether an address is within a prefix of its own family. */
export function isWithin(address: string, prefix: Prefix): boolean {
  const [one, other] = [bitsOf(address), bitsOf(prefix.address)];
  if (one.width !== other.width) return false;
  const shift = BigInt(one.width - prefix.bits);
  return one.value >> shift === other.value >> shift;
}

function bitsOf(address: string): { value: bigint; width: number } {
  if (isIPv4(address)) return { value: numberOf(address.split(".").map(Number), 8), width: 32 };
  // The last 32 bits may be written as IPv4.
  const text = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...bytes: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = bytes.slice(0, 4).map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [head = "", tail] = text.split("::");
  const groups = (part: string) =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const zeros = new Array<number>(8 - before.length - after.length).fill(0);
  return { value: numberOf([...before, ...zeros, ...after], 16), width: 128 };
}

function numberOf(parts: readonly number[], width: number): bigint {
  return parts.reduce((value, part) => (value << BigInt(width)) | BigInt(part), 0n);
}

function invalid(field: string, text: string, why: string): AgentError {
  const shown = JSON.stringify(text.length > 64 ? `${text.slice(0, 64).toWellFormed()}...` : text);
  return new AgentError("INVALID_ARGUMENT", `${field} ${shown} ${why}`);
}
