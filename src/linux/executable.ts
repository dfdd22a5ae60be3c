/** What the kernel makes of a program's first bytes: elf(5), execve(2). */

/** BINPRM_BUF_SIZE: a script's first line counts so far. */
const SCRIPT_LINE = 256;
/** Scripts that run one another; execve(2) gives ELOOP for one more. */
export const MAXIMUM_SCRIPTS = 5;
/** Bytes in which the program headers of what linkers write stand, and the name of their interpreter. */
export const HEAD_SIZE = 4096;
const PT_INTERP = 3;
const ELF_TYPES = [2, 3];

/** e_machine of what a kernel runs by itself, 32-bit programs included. */
const MACHINES: Readonly<Record<string, readonly number[]>> = { x64: [62, 3], arm64: [183, 40] };

export interface Executable {
  /** Why execve(2) refuses it, ENOEXEC: what to say behind its name. */
  readonly refused?: string;
  /** Path of what runs a script: any program, a further script too. */
  readonly interpreter?: string;
  /** Path of what loads an ELF program: an ELF file. */
  readonly linker?: string;
}

/** @param head the first HEAD_SIZE bytes, or all there are. @param arch process.arch */
export function inspectExecutable(head: Buffer, arch: string = process.arch): Executable {
  if (head.subarray(0, 2).toString("latin1") === "#!") return inspectScript(head);
  if (isElf(head)) return inspectElf(head, arch);
  return {
    refused: "is no program of this kernel, and no script that begins with #! and its interpreter",
  };
}

export function isElf(head: Buffer): boolean {
  return head.subarray(0, 4).toString("latin1") === "\x7fELF";
}

function inspectScript(head: Buffer): Executable {
  const [line = ""] = head.subarray(2, SCRIPT_LINE).toString("utf8").split("\n", 1);
  const [interpreter = ""] = line.replace(/^[ \t]+/, "").split(/[ \t\0]/, 1);
  return interpreter === "" ? { refused: "names no interpreter behind #!" } : { interpreter };
}

function inspectElf(head: Buffer, arch: string): Executable {
  const is64 = head[4] === 2;
  // Both architectures that the kernel runs here are little endian.
  if (head.length < (is64 ? 64 : 52) || head[5] !== 1 || !ELF_TYPES.includes(head.readUInt16LE(16))) {
    return { refused: "is an ELF file, but no whole program of this kernel" };
  }
  const machines = MACHINES[arch];
  const machine = head.readUInt16LE(18);
  if (machines !== undefined && !machines.includes(machine))
    return { refused: `is a program for another processor (ELF machine ${machine}, this one is ${arch})` };
  const linker = elfInterpreter(head, is64);
  return linker === undefined ? {} : { linker };
}

/** @returns undefined for a static program, and where the headers stand elsewhere. */
function elfInterpreter(head: Buffer, is64: boolean): string | undefined {
  const start = is64 ? Number(head.readBigUInt64LE(32)) : head.readUInt32LE(28);
  const [size, count] = is64
    ? [head.readUInt16LE(54), head.readUInt16LE(56)]
    : [head.readUInt16LE(42), head.readUInt16LE(44)];
  if (size < (is64 ? 56 : 32)) return undefined;
  for (let at = start; at < start + size * count && at + size <= head.length; at += size) {
    if (head.readUInt32LE(at) !== PT_INTERP) continue;
    const offset = is64 ? Number(head.readBigUInt64LE(at + 8)) : head.readUInt32LE(at + 4);
    const length = is64 ? Number(head.readBigUInt64LE(at + 32)) : head.readUInt32LE(at + 16);
    if (length < 2 || offset + length > head.length) return undefined;
    return head.subarray(offset, offset + length - 1).toString("utf8");
  }
  return undefined;
}
