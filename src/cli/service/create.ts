import { realpath } from "node:fs/promises";
import { userInfo } from "node:os";
import type { ComputeSystemDocument } from "../../hcs/compute/document.ts";
import type { ProcessParameters } from "../../hcs/compute/schema2.ts";
import { type OptionDescription, type ParsedArguments, UsageError } from "../arguments.ts";
import { print } from "../output.ts";
import { verb } from "./verb.ts";

export const PROCESS_OPTIONS: readonly OptionDescription[] = [
  { name: "tty", short: "t", help: "give the command a terminal" },
  { name: "interactive", short: "i", help: "connect standard input" },
  { name: "env", short: "e", value: "NAME=VALUE", multiple: true, help: "set a variable" },
  { name: "workdir", short: "w", value: "DIR", help: "working directory in the container" },
  { name: "user", short: "u", value: "USER", help: "UID[:GID] or NAME[:GROUP]" },
];

/** @throws UsageError */
export function processParameters(found: ParsedArguments, command: readonly string[]): ProcessParameters {
  const environment = found.values("env").map((entry): [string, string] => {
    const equals = entry.indexOf("=");
    if (equals < 1) throw new UsageError(`--env ${entry}: expected NAME=VALUE`);
    return [entry.slice(0, equals), entry.slice(equals + 1)];
  });
  const workdir = found.value("workdir");
  const user = found.value("user");
  const groups = found.values("group-add");
  return {
    CommandArgs: command,
    ...(environment.length > 0 && { Environment: Object.fromEntries(environment) }),
    ...(workdir !== undefined && { WorkingDirectory: workdir }),
    ...(user !== undefined && { User: user }),
    ...(groups.length > 0 && { AdditionalGroups: groups }),
    ...(found.has("tty") && { EmulateConsole: true }),
    ...(found.has("interactive") && { CreateStdInPipe: true }),
  };
}

export const { main } = verb("create", {
  operands: "NAME [--] COMMAND [ARGUMENT...]",
  about: `Makes a container and its virtual machine, which \`lcow start NAME\` then boots; COMMAND becomes its first
process. They outlive this command.`,
  options: [
    { name: "local", help: "without a virtual machine: on this machine" },
    ...PROCESS_OPTIONS,
    { name: "group-add", value: "GROUP", multiple: true, help: "a further group, by name or number" },
    {
      name: "memory",
      short: "m",
      value: "MIB",
      help: "limit of the container; the machine gets 256 MiB more",
    },
    { name: "cpus", value: "N", help: "virtual CPUs (default 2; emulated 1)" },
    { name: "root", value: "DIR", help: "root file system (default a small busybox one)" },
    { name: "hostname", value: "NAME", help: "of the container (default NAME)" },
    { name: "kernel", value: "FILE", help: "of the machine (default the image's)" },
    { name: "initrd", value: "FILE", help: "of the machine (default the image's)" },
    { name: "owner", value: "TEXT", help: "noted with it (default the user's name)" },
  ],
  count: [2, Number.POSITIVE_INFINITY],
  async run(found, service) {
    const [id = "", ...rest] = found.operands;
    const command = rest[0] === "--" ? rest.slice(1) : rest;
    if (command.length === 0) throw new UsageError("create needs a COMMAND");
    const document = await makeDocument(found);
    const init = processParameters(found, command);
    const driver = found.has("local") ? "local" : "qemu";
    await service.post("/systems", { id, document, init, driver });
    await print(`${id}\n`);
    return 0;
  },
});

async function makeDocument(found: ParsedArguments): Promise<ComputeSystemDocument> {
  const memory = readCount(found, "memory");
  const cpus = readCount(found, "cpus");
  const root = found.value("root");
  const hostname = found.value("hostname");
  return {
    Owner: found.value("owner") ?? userInfo().username,
    VirtualMachine: {
      ...(!found.has("local") && { Chipset: await bootFiles(found) }),
      ComputeTopology: {
        ...(memory !== undefined && { Memory: { SizeInMB: memory + 256 } }),
        ...(cpus !== undefined && { Processor: { Count: cpus } }),
      },
    },
    Container: {
      ...(memory !== undefined && { Memory: { SizeInMB: memory } }),
      ...(root !== undefined && { Storage: { Path: await directory(root) } }),
      ...(hostname !== undefined && { GuestOs: { HostName: hostname } }),
    },
  };
}

async function bootFiles(found: ParsedArguments) {
  const { findImage } = await import("../image.ts");
  const [kernel, initrd] = [found.value("kernel"), found.value("initrd")];
  const image = await findImage({
    ...(kernel !== undefined && { kernel }),
    ...(initrd !== undefined && { initrd }),
  });
  return { LinuxKernelDirect: { KernelFilePath: image.kernel, InitRdPath: image.initrd } };
}

async function directory(path: string): Promise<string> {
  // The service has another working directory.
  return await realpath(path).catch(() => {
    throw new UsageError(`--root ${path}: there is no such directory`);
  });
}

function readCount(found: ParsedArguments, name: string): number | undefined {
  const text = found.value(name);
  if (text === undefined) return undefined;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new UsageError(`--${name} ${text}: expected a whole number from 1`);
}
