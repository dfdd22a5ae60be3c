import fc from "fast-check";
import { AgentError, type ErrorCode } from "../../../src/common/errors.ts";
import { parseFlags } from "../../../src/gcs/flags.ts";
import { parseDocument } from "../../../src/hcs/compute/documents/document.ts";
import { checkModification } from "../../../src/hcs/compute/documents/modify-request.ts";
import { checkParameters } from "../../../src/hcs/compute/documents/process-parameters.ts";
import { edgeText } from "../generators/bytes.ts";
import { editFields, type FieldEdit, fieldEdits } from "../generators/edits.ts";
import { hold, property } from "../target.ts";

const SchemaVersion = { Major: 2, Minor: 1 };
const container = {
  Storage: { Layers: [{ Id: "0", Path: "/layer" }], Path: "/scratch" },
  MappedDirectories: [{ HostPath: "/a", ContainerPath: "/b", ReadOnly: true }],
};

/** What a program gives the host's side: of each kind one that is right, or nearly so. */
const SAMPLES = {
  vm: {
    Owner: "owner",
    SchemaVersion,
    ShouldTerminateOnLastHandleClosed: true,
    VirtualMachine: {
      StopOnReset: true,
      Chipset: { LinuxKernelDirect: { KernelFilePath: "/k", InitRdPath: "/i", KernelCmdLine: "quiet" } },
      ComputeTopology: { Memory: { SizeInMB: 512, AllowOvercommit: true }, Processor: { Count: 2 } },
      Devices: {
        Scsi: { "0": { Attachments: { "1": { Type: "VirtualDisk", Path: "/disk", ReadOnly: true } } } },
        VirtualPMem: { Devices: { "0": { HostPath: "/image", ReadOnly: true, ImageFormat: "Vhd1" } } },
        Plan9: { Shares: [{ Name: "share", Path: "/directory", Port: 50_001 }] },
        NetworkAdapters: { id: { EndpointId: "user", MacAddress: "02-00-00-00-00-01" } },
        HvSocket: {},
      },
      GuestConnection: { UseVsock: true },
    },
  },
  hosted: { HostingSystemId: "vm", HostedSystem: { SchemaVersion, Container: container } },
  oci: {
    HostingSystemId: "vm",
    HostedSystem: { OciSpecification: { process: { args: ["sh"] } }, OciBundlePath: "/b" },
  },
  v1: {
    SystemType: "Container",
    ContainerType: "Linux",
    Name: "c",
    Layers: [{ ID: "0", Path: "/layer" }],
    HvPartition: true,
    HvRuntime: { ImagePath: "/image", BootSource: "initrd" },
    MappedDirectories: [{ HostPath: "/a", ContainerPath: "/b", ReadOnly: false }],
    MappedVirtualDisks: [{ HostPath: "/d", ContainerPath: "/e", ReadOnly: true }],
    ProcessorCount: 1,
    MemoryMaximumInMB: 64,
  },
  modification: {
    ResourcePath: "VirtualMachine/Devices/Scsi/0/Attachments/1",
    RequestType: "Add",
    Settings: { Type: "VirtualDisk", Path: "/disk", ReadOnly: true },
    GuestRequest: {
      ResourceType: "MappedVirtualDisk",
      RequestType: "Add",
      Settings: { Lun: 1, MountPath: "/m" },
    },
  },
  parameters: {
    CommandArgs: ["sh", "-c", "true"],
    CommandLine: "sh",
    WorkingDirectory: "/",
    Environment: { A: "b" },
    EmulateConsole: true,
    ConsoleSize: [24, 80],
    CreateStdInPipe: true,
    CreateStdOutPipe: true,
    CreateStdErrPipe: false,
    User: "root",
    OCIProcess: { args: ["sh"], cwd: "/" },
  },
} as const;

type Kind = keyof typeof SAMPLES | "flags";

interface Input {
  readonly kind: Kind;
  readonly fields: readonly FieldEdit[];
  readonly words: readonly string[];
}

/** What may be said of a document before anything is made of it. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set([
  "INVALID_JSON",
  "INVALID_ARGUMENT",
  "INVALID_DATA",
  "INVALID_CONTAINER_ID",
  "NOT_SUPPORTED",
]);

const flag = fc.oneof(
  edgeText,
  fc
    .tuple(
      fc.constantFrom("-", "--", ""),
      fc.constantFrom(
        "loglevel",
        "v4",
        "logfile",
        "transport",
        "root-mem-reserve-bytes",
        "cgroup-parent",
        "x",
      ),
      fc.constantFrom("", "=", "=true", "=info", "=-1", "=99999999999999999999", "=unix:/run/x", "=\0"),
    )
    .map((parts) => parts.join("")),
);

function read({ kind, fields, words }: Input): void {
  if (kind === "flags") {
    parseFlags(words);
    return;
  }
  const value = editFields(SAMPLES[kind], fields);
  if (kind === "modification") checkModification(value as never);
  else if (kind === "parameters") checkParameters(value as never);
  else parseDocument(value);
}

export const documents = property<Input>({
  inputs: fc.record({
    kind: fc.constantFrom<Kind>("vm", "hosted", "oci", "v1", "modification", "parameters", "flags"),
    fields: fieldEdits,
    words: fc.array(flag, { maxLength: 5 }),
  }),
  check(input) {
    try {
      read(input);
    } catch (error) {
      hold(error instanceof AgentError, () => (error instanceof Error ? (error.stack ?? "") : String(error)));
      hold(REFUSALS.has(error.code), () => `refused with ${error.code}: ${error.message}`);
      hold(error.message.length < 2000, "a message without end");
    }
  },
});
