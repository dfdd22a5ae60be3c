import { AgentError } from "../src/common/errors.ts";

/** A section of an ELF file that holds strings. */
export interface ElfFacts {
  /** Program interpreter of a dynamic executable. */
  readonly interpreter?: string;
  /** DT_NEEDED, in order. */
  readonly needed: readonly string[];
  /** `name=value` strings of a kernel module's .modinfo. */
  readonly moduleInfo: readonly string[];
}

const magic = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]); // ELF, 64 bit, little endian
const SHT_DYNAMIC = 6;
const DT_NEEDED = 1n;

export function isElf(bytes: Buffer): boolean {
  return bytes.length > 64 && bytes.subarray(0, magic.length).equals(magic);
}

interface Section {
  readonly name: number;
  readonly type: number;
  readonly link: number;
  readonly bytes: Buffer;
}

/**
 * Reads what the image build has to know of a 64-bit little-endian ELF file, from its section headers.
 * @throws AgentError INVALID_DATA when `bytes` is cut short.
 */
export function readElf(bytes: Buffer, name: string): ElfFacts {
  try {
    return parse(bytes);
  } catch (cause) {
    throw new AgentError("INVALID_DATA", `${name} is no intact ELF file`, { cause });
  }
}

function parse(bytes: Buffer): ElfFacts {
  const table = Number(bytes.readBigUInt64LE(0x28));
  const entrySize = bytes.readUInt16LE(0x3a);
  const count = bytes.readUInt16LE(0x3c);
  const nameTable = bytes.readUInt16LE(0x3e);
  const sections: Section[] = [];
  for (let i = 0; i < count; i++) {
    const at = table + i * entrySize;
    const type = bytes.readUInt32LE(at + 4);
    const offset = Number(bytes.readBigUInt64LE(at + 0x18));
    const size = type === 8 ? 0 : Number(bytes.readBigUInt64LE(at + 0x20)); // SHT_NOBITS has no bytes
    sections.push({
      name: bytes.readUInt32LE(at),
      type,
      link: bytes.readUInt32LE(at + 0x28),
      bytes: bytes.subarray(offset, offset + size),
    });
  }
  const names = sections[nameTable]?.bytes ?? Buffer.alloc(0);
  const byName = (wanted: string) => sections.find((section) => text(names, section.name) === wanted);
  const interpreter = byName(".interp");
  const info = byName(".modinfo");
  return {
    ...(interpreter && { interpreter: text(interpreter.bytes, 0) }),
    needed: sections
      .filter((section) => section.type === SHT_DYNAMIC)
      .flatMap((section) => needed(section, sections)),
    moduleInfo: info ? info.bytes.toString("latin1").split("\0").filter(Boolean) : [],
  };
}

function needed(dynamic: Section, sections: readonly Section[]): string[] {
  const strings = sections[dynamic.link]?.bytes ?? Buffer.alloc(0);
  const found: string[] = [];
  for (let at = 0; at + 16 <= dynamic.bytes.length; at += 16) {
    if (dynamic.bytes.readBigUInt64LE(at) === DT_NEEDED) {
      found.push(text(strings, Number(dynamic.bytes.readBigUInt64LE(at + 8))));
    }
  }
  return found;
}

function text(bytes: Buffer, at: number): string {
  const end = bytes.indexOf(0, at);
  return bytes.toString("latin1", at, end < 0 ? bytes.length : end);
}
