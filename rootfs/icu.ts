import { AgentError } from "../src/common/errors.ts";

/**
 * Node carries Unicode's data for some 800 locales, as a package ("CmnD") inside its read-only data: 33 MB, of
 * which the agent uses none but the root and English. This rewrites the package in place with what `keeps`
 * names, as ICU's own icupkg would, and fills the rest with zeros: the file keeps its layout and packs 10 MB
 * smaller. Node then behaves like one built with small-icu.
 *
 * The package (ICU, source/common/unicode/udata.h and ucmndata.h): a header with its size in the first 16 bits; then,
 * where offsets count from, a 32-bit count, that many pairs of 32-bit offsets (name, data) sorted by name, the
 * names, the items at multiples of 16.
 *
 * @param binary Node's executable; changed in place.
 * @throws AgentError INVALID_DATA when there is no such package.
 */
export function thinLocaleData(binary: Buffer, keeps: (name: string) => boolean): void {
  const start = findPackage(binary);
  const base = start + binary.readUInt16LE(start);
  const count = binary.readInt32LE(base);
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    const at = base + 4 + 8 * i;
    const nameAt = base + binary.readUInt32LE(at);
    const name = binary.toString("latin1", nameAt, binary.indexOf(0, nameAt));
    entries.push({ name, start: base + binary.readUInt32LE(at + 4) });
  }
  // Where the last item ends is told nowhere; it is left as it stands.
  const last = entries.at(-1);
  if (last === undefined) throw new AgentError("INVALID_DATA", "Node's locale data is an empty package");
  const kept = entries.flatMap((entry, i) => {
    const next = entries[i + 1];
    const wanted = next !== undefined && keeps(entry.name.slice(entry.name.indexOf("/") + 1));
    return wanted ? [{ name: entry.name, bytes: Buffer.from(binary.subarray(entry.start, next.start)) }] : [];
  });
  binary.fill(0, base, last.start);
  write(binary, base, kept);
}

interface Entry {
  readonly name: string;
  /** Position in the file. */
  readonly start: number;
}

function findPackage(binary: Buffer): number {
  for (let at = binary.indexOf("CmnD"); at >= 0; at = binary.indexOf("CmnD", at + 1)) {
    const start = at - 12;
    if (start >= 0 && binary.readUInt16BE(start + 2) === 0xda27) return start;
  }
  throw new AgentError("INVALID_DATA", "Node's executable holds no locale data where it is known to be");
}

function write(binary: Buffer, base: number, items: readonly { name: string; bytes: Buffer }[]): void {
  const align = (position: number) => Math.ceil((position - base) / 16) * 16 + base;
  binary.writeInt32LE(items.length, base);
  let nameAt = base + 4 + 8 * items.length;
  let dataAt = align(nameAt + items.reduce((sum, item) => sum + item.name.length + 1, 0));
  for (const [i, item] of items.entries()) {
    binary.writeUInt32LE(nameAt - base, base + 4 + 8 * i);
    binary.writeUInt32LE(dataAt - base, base + 8 + 8 * i);
    nameAt += binary.write(`${item.name}\0`, nameAt, "latin1");
    item.bytes.copy(binary, dataAt);
    dataAt = align(dataAt + item.bytes.length);
  }
}
