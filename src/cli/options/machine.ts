import { resolve } from "node:path";
import { LEAST_MEMORY_MIB, machineCapacity } from "../../hcs/uvm/qemu/capacity.ts";
import { type OptionDescription, type ParsedArguments, UsageError } from "../arguments.ts";
import type { SessionOptions } from "../run/session.ts";
import { readMachineCpus, readNotEmpty, readOneOf, readSize } from "../values.ts";
import { readFile, readOutputFile } from "./paths.ts";

const ACCELERATORS = ["auto", "kvm", "tcg"] as const;
export const LOG_LEVELS = ["trace", "debug", "info", "warning", "error", "fatal"] as const;
const MIB = 1024 * 1024;

const KERNEL: OptionDescription<string> = {
  name: "kernel",
  value: "FILE",
  read: readFile,
  completes: "file",
  help: "the guest's kernel (default: the image's, built when missing)",
};
const INITRD: OptionDescription<string> = {
  name: "initrd",
  value: "FILE",
  read: readFile,
  completes: "file",
  help: "the guest's initrd (default: the image's)",
};
const ACCELERATOR: OptionDescription<(typeof ACCELERATORS)[number]> = {
  name: "accelerator",
  value: "NAME",
  read: readOneOf(ACCELERATORS),
  completes: ACCELERATORS,
  help: "auto, kvm or tcg; auto takes KVM where it really runs a guest (default)",
};
const CONSOLE: OptionDescription<string> = {
  name: "console",
  value: "FILE",
  read: readOutputFile,
  completes: "file",
  help: "keep a copy of the guest's console, with all that its kernel prints",
};
const APPEND: OptionDescription<string> = {
  name: "append",
  value: "TEXT",
  read: readKernelArguments,
  help: "added to the kernel's command line, such as 'loglevel=7 nosmp'",
};
export const LOG_LEVEL: OptionDescription<(typeof LOG_LEVELS)[number]> = {
  name: "loglevel",
  value: "LEVEL",
  read: readOneOf(LOG_LEVELS),
  completes: LOG_LEVELS,
  help: `show the agent's log on standard error: ${LOG_LEVELS.slice(0, 3).join(", ")},\n${LOG_LEVELS.slice(3).join(", ")}`,
};
export const TIMES: OptionDescription = {
  name: "times",
  help: "tell on standard error how long each stage of the boot took",
};
export const OCI_RUNTIME: OptionDescription<string> = {
  name: "oci-runtime",
  value: "NAME",
  read: readRuntime,
  completes: ["runc", "crun"],
  help: "runc, crun, or the path of one like them (default crun, but with\n--local runc)",
};

/** Behind a lone "--" stands what /init gets, which is not the caller's. */
function readKernelArguments(text: string, what: string): string {
  const words = readNotEmpty(text, what).trim().split(/ +/);
  if (!/^[\x20-\x7e]*$/.test(text)) throw new UsageError(`${what}: expected printable ASCII on one line`);
  if (words.includes("--")) throw new UsageError(`${what}: -- ends the kernel's arguments; leave it out`);
  return words.join(" ");
}

function readRuntime(text: string, what: string): string {
  const name = readNotEmpty(text, what);
  if (/[\s\p{Cc}]/u.test(name) || name.startsWith("-"))
    throw new UsageError(`${what} is no name of a runtime`);
  return name.includes("/") ? resolve(name) : name;
}

/** Options about the virtual machine, shared by the verbs that start one. */
export const MACHINE_OPTIONS: readonly OptionDescription[] = [KERNEL, INITRD, APPEND, ACCELERATOR, CONSOLE];

const MEMORY: OptionDescription<number> = {
  name: "memory",
  short: "m",
  value: "SIZE",
  read: readMachineMemory,
  help: "of the machine: bytes, or with a suffix k, m or g (default 512m)",
};
const CPUS: OptionDescription<number> = {
  name: "cpus",
  value: "N",
  read: readMachineCpus,
  help: "virtual processors (default 2; emulated 1)",
};

/** How large a machine is that has no container's limits to go by. */
export const MACHINE_SIZE_OPTIONS: readonly OptionDescription[] = [MEMORY, CPUS];

export function readMachineSize(found: ParsedArguments): Pick<SessionOptions, "vmMemoryMiB" | "cpus"> {
  const memory = found.read(MEMORY);
  return { vmMemoryMiB: memory === undefined ? undefined : memory / MIB, cpus: found.read(CPUS) };
}

/** Bytes, whole MiB: QEMU's unit. What its initrd needs besides QEMU's driver tells. */
export function readMachineMemory(text: string, what: string): number {
  const bytes = readSize(text, what);
  checkFits(bytes, what);
  if (bytes >= LEAST_MEMORY_MIB * MIB) return Math.floor(bytes / MIB) * MIB;
  throw new UsageError(
    `${what}: too little for a machine, the least is ${LEAST_MEMORY_MIB}m; a number without a suffix is bytes`,
  );
}

/** @param extraMiB what the guest itself needs besides. @throws UsageError for more memory than this machine has */
export function checkFits(bytes: number, what: string, extraMiB = 0): void {
  const { memoryMiB } = machineCapacity();
  if (bytes + extraMiB * MIB <= memoryMiB * MIB) return;
  const besides = extraMiB === 0 ? "" : `, and a virtual machine takes ${extraMiB} MiB more`;
  throw new UsageError(`${what}: this machine has ${memoryMiB} MiB${besides}`);
}

/** What a machine is started with, but for its size. */
export function readMachine(
  found: ParsedArguments,
): Pick<
  SessionOptions,
  "kernel" | "initrd" | "append" | "accelerator" | "console" | "logLevel" | "ociRuntime"
> {
  return {
    kernel: found.read(KERNEL),
    initrd: found.read(INITRD),
    append: found.read(APPEND),
    accelerator: found.read(ACCELERATOR),
    console: found.read(CONSOLE),
    logLevel: found.read(LOG_LEVEL),
    ociRuntime: found.read(OCI_RUNTIME),
  };
}
