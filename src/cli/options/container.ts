import type { SecuritySettings } from "../../hcs/uvm/default-spec.ts";
import { type OptionDescription, type ParsedArguments, UsageError } from "../arguments.ts";
import type { SessionOptions } from "../run/session.ts";
import { readCpus, readHostname, readMemory, readSystemName } from "../values.ts";
import {
  checkFits,
  LOG_LEVEL,
  MACHINE_OPTIONS,
  OCI_RUNTIME,
  readMachine,
  readMachineMemory,
} from "./machine.ts";
import { readDirectory } from "./paths.ts";
import { PROCESS_OPTIONS, type ProcessRequest, readProcess } from "./process.ts";
import { readSecurity, SECURITY_OPTIONS } from "./security.ts";

const MIB = 1024 * 1024;
/** What a machine has without --memory and --vm-memory; what the guest itself needs beside a container's limit. */
const DEFAULT_MACHINE_MIB = 512;
const MACHINE_EXTRA_MIB = 256;

export const LOCAL: OptionDescription = {
  name: "local",
  help: "without a virtual machine: containers on this machine, through an\nagent of their own; needs root",
};
const MEMORY: OptionDescription<number> = {
  name: "memory",
  short: "m",
  value: "SIZE",
  read: readMemory,
  help: `limit of the container, from 6m: bytes, or with a suffix k, m or g; the\nmachine has ${MACHINE_EXTRA_MIB} MiB more, ${DEFAULT_MACHINE_MIB} MiB at least`,
};
const CPUS: OptionDescription<number> = {
  name: "cpus",
  value: "N",
  read: readCpus,
  help: "limit of the container, such as 2 or 0.5; the machine has as many\nprocessors, rounded up (default no limit; 2, emulated 1)",
};
const VM_MEMORY: OptionDescription<number> = {
  name: "vm-memory",
  value: "SIZE",
  read: readMachineMemory,
  help: "of the virtual machine, instead of what --memory gives it",
};
const ROOT: OptionDescription<string> = {
  name: "root",
  value: "DIR",
  read: readDirectory,
  completes: "directory",
  help: "root file system: DIR stays as it is, and what the container writes is gone\nwith it; the default is a small busybox one, read-only, with /tmp, /run,\n/root, /var and /home in memory",
};
const READ_WRITE: OptionDescription = {
  name: "read-write",
  help: "with --local and --root: the container writes to DIR itself",
};
const HOSTNAME: OptionDescription<string> = {
  name: "hostname",
  value: "NAME",
  read: readHostname,
  help: "host name in the container (default: the container's name)",
};
export const NAME: OptionDescription<string> = {
  name: "name",
  value: "NAME",
  read: readSystemName,
  help: "what the service calls it",
};
export const REMOVE: OptionDescription = { name: "rm", help: "remove it when its command has ended" };
export const OWNER: OptionDescription<string> = {
  name: "owner",
  value: "TEXT",
  help: "noted with it by the service (default the user's name)",
};

/** Options about a container that is to be made: `run` and `create` have all of them. */
export const CONTAINER_OPTIONS: readonly OptionDescription[] = [
  LOCAL,
  ...PROCESS_OPTIONS,
  MEMORY,
  CPUS,
  ROOT,
  READ_WRITE,
  HOSTNAME,
  ...SECURITY_OPTIONS,
  OCI_RUNTIME,
  LOG_LEVEL,
  VM_MEMORY,
  ...MACHINE_OPTIONS,
  REMOVE,
];

/** A container that is to be made, and where. */
export interface ContainerRequest {
  readonly session: SessionOptions;
  readonly process: ProcessRequest;
  readonly root: string | undefined;
  /** The container writes to the root directory itself. */
  readonly readWrite: boolean;
  readonly hostname: string | undefined;
  /** Bytes. */
  readonly memoryLimit: number | undefined;
  /** Processors. */
  readonly cpuLimit: number | undefined;
  readonly security: SecuritySettings;
}

/** @throws UsageError */
export function readContainer(found: ParsedArguments, command: readonly string[]): ContainerRequest {
  const local = found.has("local");
  for (const { name } of local ? [VM_MEMORY, ...MACHINE_OPTIONS] : []) {
    if (found.has(name)) throw new UsageError(`--${name} is about the virtual machine; --local has none`);
  }
  const memoryLimit = found.read(MEMORY);
  const cpuLimit = found.read(CPUS);
  const machineMemory = found.read(VM_MEMORY);
  if (memoryLimit !== undefined && !local) {
    const what = `--memory ${found.value(MEMORY.name)}`;
    checkFits(memoryLimit, what, machineMemory === undefined ? MACHINE_EXTRA_MIB : 0);
  }
  const vmMemoryMiB =
    machineMemory !== undefined
      ? machineMemory / MIB
      : memoryLimit !== undefined
        ? Math.max(DEFAULT_MACHINE_MIB, memoryLimit / MIB + MACHINE_EXTRA_MIB)
        : undefined;
  return {
    session: {
      local,
      ...readMachine(found),
      vmMemoryMiB,
      cpus: cpuLimit === undefined ? undefined : Math.ceil(cpuLimit),
    },
    process: readProcess(found, command),
    ...readRoot(found),
    hostname: found.read(HOSTNAME),
    memoryLimit,
    cpuLimit,
    security: readSecurity(found),
  };
}

function readRoot(found: ParsedArguments): Pick<ContainerRequest, "root" | "readWrite"> {
  const root = found.read(ROOT);
  const readWrite = found.has(READ_WRITE.name);
  if (readWrite && root === undefined) {
    throw new UsageError("--read-write needs --root DIR: the default root is shared and never written to");
  }
  if (readWrite && !found.has(LOCAL.name)) {
    throw new UsageError(
      "--read-write needs --local: a virtual machine has a copy of DIR as a disk, which is not written back",
    );
  }
  return { root, readWrite };
}
