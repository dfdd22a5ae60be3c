/** Pins what the host side exports: what is checked by the compiler fails `npm run check`, the names fail here. */
import type { Readable, Writable } from "node:stream";
import { test } from "tap";
import * as hcs from "../../src/hcs/index.ts";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Does nothing; its argument's type is the assertion. */
function pin<_Assertion extends true>(): void {}

type Options = { readonly signal?: AbortSignal };

pin<
  Same<
    keyof hcs.System,
    | typeof Symbol.asyncDispose
    | "id"
    | "os"
    | "isOCI"
    | "start"
    | "shutdown"
    | "terminate"
    | "wait"
    | "waitChannel"
    | "waitError"
    | "exitError"
    | "waitForNotification"
    | "close"
    | "properties"
    | "propertiesV2"
    | "pause"
    | "resume"
    | "save"
    | "modify"
    | "createProcess"
    | "openProcess"
    | "startedTime"
    | "stoppedTime"
  >
>();
pin<
  Same<
    keyof hcs.ComputeProcess,
    | typeof Symbol.asyncDispose
    | "pid"
    | "systemId"
    | "stdio"
    | "stdioLegacy"
    | "closeStdin"
    | "closeStdout"
    | "closeStderr"
    | "resizeConsole"
    | "signal"
    | "kill"
    | "wait"
    | "exitCode"
    | "close"
  >
>();
pin<
  Same<
    keyof hcs.v1.Container,
    | typeof Symbol.asyncDispose
    | "id"
    | "start"
    | "shutdown"
    | "terminate"
    | "wait"
    | "waitTimeout"
    | "pause"
    | "resume"
    | "hasPendingUpdates"
    | "statistics"
    | "processList"
    | "mappedVirtualDisks"
    | "createProcess"
    | "openProcess"
    | "modify"
    | "close"
  >
>();
pin<
  Same<
    keyof hcs.v1.Process,
    | typeof Symbol.asyncDispose
    | "pid"
    | "containerId"
    | "kill"
    | "wait"
    | "waitTimeout"
    | "exitCode"
    | "resizeConsole"
    | "stdio"
    | "closeStdin"
    | "close"
  >
>();
pin<
  Same<
    keyof hcs.ComputeService,
    | typeof Symbol.asyncDispose
    | "createComputeSystem"
    | "guestOf"
    | "machineOf"
    | "openComputeSystem"
    | "getComputeSystems"
    | "getServiceProperties"
    | "modifyServiceSettings"
    | "close"
  >
>();
pin<
  Same<
    keyof hcs.v1.ContainerConfig,
    | "SystemType"
    | "Name"
    | "Owner"
    | "VolumePath"
    | "IgnoreFlushesDuringBoot"
    | "LayerFolderPath"
    | "Layers"
    | "Credentials"
    | "ProcessorCount"
    | "ProcessorWeight"
    | "ProcessorMaximum"
    | "StorageIOPSMaximum"
    | "StorageBandwidthMaximum"
    | "StorageSandboxSize"
    | "MemoryMaximumInMB"
    | "HostName"
    | "MappedDirectories"
    | "MappedPipes"
    | "HvPartition"
    | "NetworkSharedContainerName"
    | "EndpointList"
    | "HvRuntime"
    | "Servicing"
    | "AllowUnqualifiedDNSQuery"
    | "DNSSearchList"
    | "ContainerType"
    | "TerminateOnLastHandleClosed"
    | "MappedVirtualDisks"
    | "AssignedDevices"
  >
>();
pin<
  Same<
    keyof hcs.v1.ProcessConfig,
    | "ApplicationName"
    | "CommandLine"
    | "CommandArgs"
    | "User"
    | "WorkingDirectory"
    | "Environment"
    | "EmulateConsole"
    | "CreateStdInPipe"
    | "CreateStdOutPipe"
    | "CreateStdErrPipe"
    | "ConsoleSize"
    | "CreateInUtilityVm"
    | "OCISpecification"
  >
>();

// Whoever can be used as the cow interfaces say.
pin<hcs.System extends hcs.Container ? true : false>();
pin<hcs.ComputeProcess extends hcs.Process ? true : false>();
pin<hcs.Container extends hcs.ProcessHost ? true : false>();
pin<Same<Awaited<ReturnType<typeof hcs.createGuestContainer>>, hcs.Container>>();

pin<Same<hcs.System["isOCI"], boolean>>();
pin<Same<hcs.System["waitChannel"], AbortSignal>>();
pin<Same<ReturnType<hcs.System["exitError"]>, Error | undefined>>();
pin<Same<Parameters<hcs.System["start"]>, [options?: hcs.CallOptions | undefined]>>();
pin<Same<hcs.CallOptions, Options>>();
pin<Same<ReturnType<hcs.ComputeProcess["kill"]>, Promise<boolean>>>();
pin<Same<ReturnType<hcs.ComputeProcess["wait"]>, Promise<number>>>();
pin<Same<ReturnType<hcs.ComputeProcess["exitCode"]>, number>>();
pin<
  Same<
    hcs.ProcessStdio,
    { readonly stdin?: Writable; readonly stdout?: Readable; readonly stderr?: Readable }
  >
>();
pin<Same<ReturnType<hcs.v1.Container["hasPendingUpdates"]>, Promise<boolean>>>();
pin<Same<ReturnType<hcs.v1.Container["shutdown"]>, Promise<never>>>();
pin<hcs.SystemError extends hcs.HcsError ? true : false>();
pin<hcs.ProcessError extends hcs.HcsError ? true : false>();
pin<hcs.v1.ContainerError extends hcs.HcsError ? true : false>();
pin<Same<hcs.HcsError["events"], readonly hcs.ErrorEvent[]>>();

test("the names that are exported", async (t) => {
  const functionsAndClasses = [
    "AgentError",
    "ComputeProcess",
    "ComputeService",
    "HcsError",
    "HcsErrorCode",
    "HcsNotification",
    "LocalDriver",
    "PROPERTY_TYPES_V1",
    "PROPERTY_TYPES_V2",
    "ProcessError",
    "QemuDriver",
    "SYSTEM_NOTIFICATIONS",
    "System",
    "SystemError",
    "codeOf",
    "codeOfAgentError",
    "codeOfNumber",
    "coded",
    "createComputeSystem",
    "createGuestContainer",
    "createNtfsVhd",
    "defaultService",
    "getComputeSystems",
    "getServiceProperties",
    "hcsErrorCodes",
    "isAccessIsDenied",
    "isAlreadyClosed",
    "isAlreadyStopped",
    "isError",
    "isErrorInvalidHandle",
    "isNotExist",
    "isNotSupported",
    "isOperationInvalidState",
    "isPending",
    "isTimeout",
    "makeHcsError",
    "makeProcessError",
    "makeSystemError",
    "modifyServiceSettings",
    "notificationName",
    "openComputeSystem",
    "setDriver",
    "v1",
  ];
  const codes = Object.keys(hcs.hcsErrorCodes);
  t.strictSame(Object.keys(hcs).toSorted(), [...functionsAndClasses, ...codes].toSorted());
  t.strictSame(Object.keys(hcs.v1).toSorted(), [
    "Container",
    "ContainerError",
    "Process",
    "ProcessError",
    "createContainer",
    "getContainers",
    "openContainer",
  ]);
});
