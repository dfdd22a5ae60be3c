import { test } from "tap";
import { parseDocument } from "../../../../src/hcs/compute/documents/document.ts";
import { isNotSupported } from "../../../../src/hcs/index.ts";

const FULL_VM = {
  Owner: "owner",
  SchemaVersion: { Major: 2, Minor: 1 },
  ShouldTerminateOnLastHandleClosed: true,
  VirtualMachine: {
    StopOnReset: true,
    Chipset: {
      LinuxKernelDirect: { KernelFilePath: "/kernel", InitRdPath: "/initrd", KernelCmdLine: "quiet" },
    },
    ComputeTopology: { Memory: { SizeInMB: 512, AllowOvercommit: true }, Processor: { Count: 2 } },
    Devices: {
      Scsi: { "0": { Attachments: { "1": { Type: "VirtualDisk", Path: "/disk", ReadOnly: true } } } },
      VirtualPMem: { Devices: { "0": { HostPath: "/image", ReadOnly: true, ImageFormat: "Vhd1" } } },
      Plan9: { Shares: [{ Name: "share", Path: "/directory", Port: 50001 }] },
      NetworkAdapters: { id: { EndpointId: "user", MacAddress: "02-00-00-00-00-01" } },
      HvSocket: {},
    },
    GuestConnection: { UseVsock: true },
  },
};

/** A copy with the value at a path of names set. */
function withPart(document: object, path: string, value: unknown): object {
  const copy = structuredClone(document) as Record<string, unknown>;
  const names = path.split(".");
  const last = names.pop() ?? "";
  let at = copy;
  for (const name of names) {
    at[name] ??= {};
    at = at[name] as Record<string, unknown>;
  }
  at[last] = value;
  return copy;
}

test("a document of every part that is understood", async (t) => {
  t.match(parseDocument(FULL_VM), {
    kind: "vm",
    owner: "owner",
    terminateOnLastHandleClosed: true,
    vm: FULL_VM.VirtualMachine,
  });
});

test("parts that are not understood are refused by name", async (t) => {
  for (const path of [
    "Extra",
    "VirtualMachine.Devices.VirtualSmb",
    "VirtualMachine.Devices.VideoMonitor",
    "VirtualMachine.Devices.Scsi.0.Attachments.1.CachingMode",
    "VirtualMachine.Chipset.Uefi",
    "VirtualMachine.ComputeTopology.Numa",
    "VirtualMachine.SecuritySettings",
  ]) {
    try {
      parseDocument(withPart(FULL_VM, path, {}));
      t.fail(`${path} was accepted`);
    } catch (error) {
      t.match((error as Error).message, `${path} is not known here`);
      t.ok(isNotSupported(error), path);
    }
  }
});

test("parts that are missing or of the wrong kind are named", async (t) => {
  const cases: [object | null | string, RegExp][] = [
    [
      withPart(FULL_VM, "VirtualMachine.ComputeTopology.Memory.SizeInMB", "512"),
      /Memory\.SizeInMB must be number/,
    ],
    [withPart(FULL_VM, "VirtualMachine.ComputeTopology.Memory.SizeInMB", 0), /Memory\.SizeInMB/],
    [withPart(FULL_VM, "VirtualMachine.ComputeTopology.Memory.AllowOvercommit", false), /AllowOvercommit/],
    [withPart(FULL_VM, "VirtualMachine.Chipset.LinuxKernelDirect", {}), /KernelFilePath is missing/],
    [withPart(FULL_VM, "VirtualMachine.Devices.Scsi.0.Attachments.one", { Path: "/x" }), /Attachments\.one/],
    [{ Container: {} }, /HostingSystemId is missing/],
    [{ HostingSystemId: "vm" }, /HostedSystem is missing/],
    [{ HostingSystemId: "vm", HostedSystem: { Container: { Memory: { SizeInMB: -1 } } } }, /SizeInMB/],
    [{ HostingSystemId: "vm", Container: { RegistryChanges: {} } }, /RegistryChanges is not known/],
    [{ HostingSystemId: "vm", Container: { Processor: { Weight: 20_000 } } }, /Processor\.Weight/],
    [{}, /missing/],
    [{ virtualMachine: {} }, /virtualMachine is not known here; did you mean VirtualMachine\?/],
    [{ hostingSystemId: "vm", Container: {} }, /did you mean HostingSystemId/],
    [{ VirtualMachine: {}, Containers: {} }, /Containers is not known/],
    [{ VirtualMachine: {}, HostedSystem: { Container: {} } }, /HostedSystem is not known/],
    [{ VirtualMachine: {}, Container: {}, HostingSystemId: "vm" }, /HostingSystemId is not known/],
    [{ HostingSystemId: "vm", Container: {}, HostedSystem: { Container: {} } }, /HostedSystem is not known/],
    [{ VirtualMachine: null }, /VirtualMachine must be Object/],
    [{ Container: { GuestOs: {} } }, /HostingSystemId is missing, and VirtualMachine/],
    [{ VirtualMachine: {}, SchemaVersion: { Major: 1, Minor: 0 } }, /SchemaVersion\.Major must be 2/],
    [{ VirtualMachine: { GuestConnection: { UseVsock: false } } }, /UseVsock must be true/],
    [{ ContainerType: "Windows" }, /ContainerType/],
    [null, /document/],
    ["text", /document/],
    [[], /document/],
  ];
  for (const [document, message] of cases) {
    t.throws(() => parseDocument(document), { code: "INVALID_JSON", message }, String(message));
  }
});

test("what is undefined is not there", async (t) => {
  const HostingSystemId = "vm";
  t.match(parseDocument({ VirtualMachine: undefined, HostingSystemId, Container: {} }), {
    kind: "container",
  });
  t.match(parseDocument({ VirtualMachine: {}, Container: undefined }), { kind: "vm" });
  t.match(parseDocument({ ContainerType: "Linux" }), { kind: "v1" }, "version 1 needs no SystemType");
});

test("containers: by an OCI specification, hosted, or on their own", async (t) => {
  const OciSpecification = { process: {} };
  t.match(parseDocument({ HostingSystemId: "vm", HostedSystem: { OciSpecification, OciBundlePath: "/b" } }), {
    kind: "oci",
    hostingSystemId: "vm",
    hosted: { OciSpecification, OciBundlePath: "/b" },
  });
  const Container = { GuestOs: { HostName: "name" }, Storage: { Layers: [{ Path: "/layer" }] } };
  t.match(parseDocument({ HostingSystemId: "vm", HostedSystem: { Container } }), {
    kind: "container",
    container: Container,
  });
  t.match(parseDocument({ HostingSystemId: "vm", Container }), { kind: "container", container: Container });
});
