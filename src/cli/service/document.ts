import { userInfo } from "node:os";
import type { ComputeSystemDocument } from "../../hcs/compute/documents/document.ts";
import type { ProcessParameters } from "../../hcs/compute/documents/schema2.ts";
import type { SecuritySettings } from "../../hcs/uvm/default-spec.ts";
import type { ContainerRequest } from "../options/container.ts";
import type { ProcessRequest } from "../options/process.ts";

const MIB = 1024 * 1024;

/** What is to run, in the service's words. */
export function processParameters(request: ProcessRequest): ProcessParameters {
  const { command, environment, workingDirectory, user, additionalGroups, terminal, interactive } = request;
  const variables = environment.map((entry): [string, string] => {
    const equals = entry.indexOf("=");
    return [entry.slice(0, equals), entry.slice(equals + 1)];
  });
  return {
    CommandArgs: command,
    ...(variables.length > 0 && { Environment: Object.fromEntries(variables) }),
    ...(workingDirectory !== undefined && { WorkingDirectory: workingDirectory }),
    ...(user !== undefined && { User: user }),
    ...(additionalGroups.length > 0 && { AdditionalGroups: additionalGroups }),
    ...(terminal && { EmulateConsole: true }),
    ...(interactive && { CreateStdInPipe: true }),
  };
}

/** A container and its machine, in the service's words. */
export async function makeDocument(
  request: ContainerRequest,
  owner: string | undefined,
): Promise<ComputeSystemDocument> {
  const { session, root, readWrite, hostname, memoryLimit, cpuLimit, security } = request;
  return {
    Owner: owner ?? userInfo().username,
    VirtualMachine: {
      ...(!session.local && { Chipset: await bootFiles(request) }),
      ComputeTopology: {
        ...(session.vmMemoryMiB !== undefined && { Memory: { SizeInMB: session.vmMemoryMiB } }),
        ...(session.cpus !== undefined && { Processor: { Count: session.cpus } }),
      },
    },
    Container: {
      ...(memoryLimit !== undefined && { Memory: { SizeInMB: memoryLimit / MIB } }),
      ...(cpuLimit !== undefined && { Processor: { Count: cpuLimit } }),
      ...(root !== undefined && { Storage: { Path: root, ...(readWrite && { ReadWrite: true }) } }),
      ...(hostname !== undefined && { GuestOs: { HostName: hostname } }),
      ...(Object.keys(security).length > 0 && { Security: securityDocument(security) }),
    },
  };
}

function securityDocument({ seccomp, systemPaths, noNewPrivileges, pidsLimit }: SecuritySettings) {
  return {
    ...(seccomp !== undefined && { Seccomp: seccomp }),
    ...(systemPaths !== undefined && { SystemPaths: systemPaths }),
    ...(noNewPrivileges !== undefined && { NoNewPrivileges: noNewPrivileges }),
    ...(pidsLimit !== undefined && { PidsLimit: pidsLimit }),
  };
}

async function bootFiles({ session: { kernel, initrd, append } }: ContainerRequest) {
  const { findImage } = await import("../image.ts");
  const image = await findImage({
    ...(kernel !== undefined && { kernel }),
    ...(initrd !== undefined && { initrd }),
  });
  return {
    LinuxKernelDirect: {
      KernelFilePath: image.kernel,
      InitRdPath: image.initrd,
      ...(append !== undefined && { KernelCmdLine: append }),
    },
  };
}
