import { test } from "tap";
import { parseContainerConfig } from "../../../src/hcs/compute/documents/v1-config.ts";
import { type ContainerConfig, isNotSupported, LocalDriver, setDriver, v1 } from "../../../src/hcs/index.ts";
import { rejection } from "../compute/support.ts";

const LINUX = { SystemType: "Container", ContainerType: "Linux" } as const;

/** Every field of hcsshim's ContainerConfig, as a Go host writes it that uses none. */
const GO_ZEROS = {
  ...LINUX,
  Name: "",
  Owner: "",
  VolumePath: "",
  IgnoreFlushesDuringBoot: false,
  LayerFolderPath: "",
  Layers: null,
  Credentials: "",
  ProcessorCount: 0,
  ProcessorWeight: 0,
  ProcessorMaximum: 0,
  StorageIOPSMaximum: 0,
  StorageBandwidthMaximum: 0,
  StorageSandboxSize: 0,
  MemoryMaximumInMB: 0,
  HostName: "",
  MappedDirectories: null,
  MappedPipes: null,
  HvPartition: true as const,
  NetworkSharedContainerName: "",
  EndpointList: null,
  HvRuntime: null,
  Servicing: false,
  AllowUnqualifiedDNSQuery: false,
  DNSSearchList: "",
  TerminateOnLastHandleClosed: false,
  MappedVirtualDisks: null,
  AssignedDevices: null,
};

test("every field may be there with Go's zero value", async (t) => {
  t.match(parseContainerConfig(GO_ZEROS), { owner: "", terminateOnLastHandleClosed: false, disks: [] });
  t.strictSame(parseContainerConfig(GO_ZEROS).vm, { ComputeTopology: {}, Devices: {} });
});

test("fields without a meaning are refused by name when they are set", async (t) => {
  const set: Record<string, unknown> = {
    VolumePath: "\\\\?\\Volume{x}",
    IgnoreFlushesDuringBoot: true,
    LayerFolderPath: "c:\\layers",
    Credentials: "x",
    StorageIOPSMaximum: 1,
    StorageBandwidthMaximum: 1,
    StorageSandboxSize: 1,
    MappedPipes: [{ HostPath: "\\\\.\\pipe\\a", ContainerPipeName: "a" }],
    HvPartition: false,
    NetworkSharedContainerName: "other",
    Servicing: true,
    AllowUnqualifiedDNSQuery: true,
    DNSSearchList: "example.org",
    AssignedDevices: [{ InterfaceClassGuid: "x" }],
    Unknown: 1,
  };
  for (const [field, value] of Object.entries(set)) {
    try {
      parseContainerConfig({ ...GO_ZEROS, [field]: value });
      t.fail(`${field} was accepted`);
    } catch (error) {
      t.match((error as Error).message, field);
      t.ok(isNotSupported(error));
    }
  }
  for (const [fields, name] of [
    [{ ContainerType: undefined }, "ContainerType"],
    [{ ContainerType: "Windows" }, "ContainerType"],
    [{ SystemType: "VirtualMachine" }, "SystemType"],
    [{ HvRuntime: { SkipTemplate: true } }, "SkipTemplate"],
    [{ HvRuntime: { BootSource: "Network" } }, "BootSource"],
    [{ MappedDirectories: [{ HostPath: "/a", ContainerPath: "/b", IOPSMaximum: 5 }] }, "IOPSMaximum"],
    [
      { MappedDirectories: [{ HostPath: "/a", ContainerPath: "/b", CreateInUtilityVM: true }] },
      "CreateInUtilityVM",
    ],
    [{ MappedVirtualDisks: [{ HostPath: "/a", ContainerPath: "/b", Cache: "Enabled" }] }, "Cache"],
    [{ MappedVirtualDisks: [{ ContainerPath: "/b" }] }, "HostPath"],
  ] as const) {
    t.throws(() => parseContainerConfig({ ...GO_ZEROS, ...fields }), { message: name }, name);
  }
});

test("HvRuntime picks the boot", async (t) => {
  const chipset = (HvRuntime: ContainerConfig["HvRuntime"]) =>
    parseContainerConfig({ ...LINUX, HvRuntime }).vm;
  t.match(chipset({ ImagePath: "/image" }), {
    Chipset: { LinuxKernelDirect: { KernelFilePath: "/image/kernel", InitRdPath: "/image/initrd.img" } },
  });
  const named = { LinuxKernelFile: "bzImage", LinuxInitrdFile: "root.cpio", LinuxBootParameters: "debug" };
  t.match(chipset({ ImagePath: "/image", ...named }), {
    Chipset: {
      LinuxKernelDirect: {
        KernelFilePath: "/image/bzImage",
        InitRdPath: "/image/root.cpio",
        KernelCmdLine: "debug",
      },
    },
  });
  const disk = chipset({ ImagePath: "/image", BootSource: "Vhd", LinuxBootParameters: "debug" });
  t.strictSame(disk.Devices?.Scsi, {
    "0": { Attachments: { "0": { Type: "VirtualDisk", Path: "/image/uvm.vhd", ReadOnly: true } } },
  });
  t.strictSame(disk.Chipset?.LinuxKernelDirect, {
    KernelFilePath: "/image/kernel",
    KernelCmdLine: "root=/dev/sda ro rootwait init=/init debug",
  });
  const writable = chipset({ BootSource: "Vhd", WritableBootSource: true });
  t.match(writable.Chipset?.LinuxKernelDirect?.KernelCmdLine, /^root=\/dev\/sda rw/);
  t.equal(writable.Devices?.Scsi?.["0"]?.Attachments?.["0"]?.ReadOnly, false);
});

test("limits, disks and endpoints", async (t) => {
  const { vm, container, disks } = parseContainerConfig({
    ...LINUX,
    ProcessorCount: 2,
    ProcessorWeight: 300,
    MemoryMaximumInMB: 100,
    EndpointList: ["one"],
    Layers: [{ ID: "id", Path: "/layer" }],
    MappedVirtualDisks: [
      { HostPath: "/a.vhd", ContainerPath: "/a", ReadOnly: true },
      { HostPath: "/b.vhd", ContainerPath: "/b", CreateInUtilityVM: true, AttachOnly: true },
    ],
  });
  t.match(vm, {
    ComputeTopology: { Memory: { SizeInMB: 356 }, Processor: { Count: 2 } },
    Devices: {
      NetworkAdapters: { one: { EndpointId: "one" } },
      Scsi: { "0": { Attachments: { "1": { Path: "/a.vhd", ReadOnly: true }, "2": { Path: "/b.vhd" } } } },
    },
  });
  t.match(container, {
    Memory: { SizeInMB: 100 },
    Processor: { Count: 2, Weight: 300 },
    Storage: { Layers: [{ Id: "id", Path: "/layer" }] },
  });
  t.match(disks, [
    { lun: 1, ContainerPath: "/a", AttachOnly: false },
    { lun: 2, CreateInUtilityVM: true, AttachOnly: true },
  ]);
  const both = parseContainerConfig({ ...LINUX, ProcessorCount: 2, ProcessorMaximum: 5000 });
  t.strictSame(both.container.Processor, { Maximum: 5000 }, "the tighter of the two");
});

test("what the driver cannot do is refused when the container is created", async (t) => {
  setDriver(new LocalDriver());
  for (const config of [
    { EndpointList: ["one"] },
    { MappedVirtualDisks: [{ HostPath: "/a", ContainerPath: "/b" }] },
    { HvRuntime: { BootSource: "Vhd" as const } },
  ]) {
    const error = await rejection(v1.createContainer("c", { ContainerType: "Linux", ...config }));
    t.ok(isNotSupported(error), error.message);
  }
  t.strictSame(await v1.getContainers(), []);
});

test("process configs", async (t) => {
  setDriver(new LocalDriver());
  const container = await v1.createContainer("c", { ContainerType: "Linux" });
  t.teardown(() => container.terminate().catch(() => undefined));
  await container.start();
  const error = await rejection(container.createProcess({ ApplicationName: "cmd.exe" }));
  t.match(error.message, "ApplicationName");
  const zeros = {
    ApplicationName: "",
    CommandLine: "true",
    ConsoleSize: [0, 0],
    User: "",
    WorkingDirectory: "",
  };
  const process = await container.createProcess(zeros);
  await process.wait();
  t.equal(await process.exitCode(), 0);
});
