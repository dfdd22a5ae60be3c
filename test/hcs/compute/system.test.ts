import { test } from "tap";
import * as hcs from "../../../src/hcs/index.ts";
import { ociSpec } from "../../helpers/bundle.ts";
import { localService, loopingContainer, rejection, run, runningContainer, runningVm } from "./support.ts";

test("a system's life: created, running, ended by shutdown; id, os, isOCI, times", async (t) => {
  const service = localService(t);
  const vm = await service.createComputeSystem("vm", { Owner: "tests", VirtualMachine: {} });
  t.match(vm, { id: "vm", os: "linux", isOCI: false, startedTime: undefined, stoppedTime: undefined });
  t.match(await vm.properties(), {
    Id: "vm",
    State: "Created",
    SystemType: "VirtualMachine",
    Owner: "tests",
  });
  t.ok(hcs.isOperationInvalidState(await rejection(vm.createProcess({ CommandLine: "true" }))));
  await vm.start();
  t.equal((await vm.properties()).State, "Running");
  t.type(vm.startedTime, "number");
  t.ok(hcs.isOperationInvalidState(await rejection(vm.start())), "started twice");

  const { system, init } = await loopingContainer(service);
  t.match(system, { id: "container", os: "linux", isOCI: true });
  t.match(await system.propertiesV2(), {
    SystemType: "Container",
    HostingSystemId: "vm",
    RuntimeOsType: "Linux",
  });
  t.throws(() => system.exitError(), { name: "SystemError" }, "it has not exited");
  t.equal(system.waitChannel.aborted, false);
  await system.shutdown();
  await system.wait();
  t.equal(await init.wait(), 3, "by its own handler of SIGTERM");
  t.equal(system.waitChannel.aborted, true);
  t.equal(system.waitError(), undefined);
  t.equal(system.exitError(), undefined);
  t.type(system.stoppedTime, "number");
  t.match(await system.properties(), { State: "Stopped", Stopped: true, ExitType: "GracefulExit" });
  await system.shutdown();
  await system.terminate();
  t.ok(hcs.isAlreadyStopped(await rejection(system.createProcess())), "nothing starts in it any more");

  await vm.shutdown();
  await vm.wait();
  t.match(await vm.properties(), { State: "Stopped", ExitType: "GracefulExit" });
});

test("terminate ends by force, whatever the state", async (t) => {
  const service = localService(t);
  const never = await service.createComputeSystem("never", { VirtualMachine: {} });
  await never.terminate();
  await never.wait();
  t.equal((await never.properties()).ExitType, "ForcedExit", "before it was started");

  const vm = await runningVm(service);
  const { system, init } = await loopingContainer(service);
  await system.terminate();
  await system.wait();
  t.equal((await system.properties()).ExitType, "ForcedExit");
  t.equal(await init.wait(), 137);

  const { system: frozen } = await loopingContainer(service, "frozen");
  await frozen.pause();
  await frozen.terminate();
  await frozen.wait();
  t.equal((await frozen.properties()).ExitType, "ForcedExit", "while it was paused");

  const empty = await runningContainer(service, "empty");
  await empty.terminate();
  await empty.wait();

  await vm.terminate();
  await vm.wait();
  t.equal((await vm.properties()).ExitType, "ForcedExit");

  const starting = await service.createComputeSystem("starting", { VirtualMachine: {} });
  const started = starting.start();
  started.catch(() => undefined);
  await starting.terminate();
  await starting.wait();
  t.equal((await starting.properties()).State, "Stopped");
  await rejection(started);
});

test("init that ends by itself", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const system = await runningContainer(service);
  t.match(await run(system, { CommandArgs: ["/bin/sh", "-c", "echo out; echo err >&2; exit 5"] }), {
    output: "out\n",
    complaints: "err\n",
    code: 5,
  });
  await system.wait();
  t.equal((await system.properties()).ExitType, "UnexpectedExit");
});

test("pause stops a container's processes, resume lets them go on", async (t) => {
  const service = localService(t);
  const vm = await runningVm(service);
  const system = await runningContainer(service);
  const init = await system.createProcess({
    CommandArgs: ["/bin/sh", "-c", "while read -r line; do echo $line; done"],
    CreateStdInPipe: true,
    CreateStdOutPipe: true,
  });
  const { stdin, stdout } = init.stdio();
  if (stdin === undefined || stdout === undefined) throw new Error("no stdio");
  const received: string[] = [];
  stdout.setEncoding("utf8").on("data", (text: string) => received.push(text));
  const echoes = async (line: string) => {
    stdin.write(`${line}\n`);
    while (received.join("").includes(line) === false) await new Promise((go) => stdout.once("data", go));
  };
  await echoes("before");
  for (const [name, target] of [
    ["the container", system],
    ["the VM", vm],
  ] as const) {
    await target.pause();
    t.equal((await target.properties()).State, "Paused", name);
    t.ok(hcs.isOperationInvalidState(await rejection(target.pause())), "paused twice");
    const before = received.join("");
    stdin.write(`while ${name} is paused\n`);
    const list = await system.properties(["ProcessList"]);
    t.equal(list.ProcessList?.length, 1, "what is frozen can be looked at");
    t.equal(received.join(""), before, "nobody echoes");
    await target.resume();
    await echoes(`after ${name}`);
    t.match(received.join(""), `while ${name} is paused`, "what was written meanwhile is not lost");
    t.ok(hcs.isOperationInvalidState(await rejection(target.resume())), "resumed twice");
  }
  t.ok(hcs.isNotSupported(await rejection(system.pause({ SuspensionLevel: "Hibernate" }))));
  t.ok(hcs.isOperationInvalidState(await rejection(vm.save({ SaveType: "ToFile" }))), "saved while it runs");
  await vm.pause();
  t.ok(hcs.isNotSupported(await rejection(vm.save({ SaveType: "ToFile" }))), "the local driver cannot");
  await vm.resume();
  await init.closeStdin();
  await system.wait();
});

test("properties: statistics, process list, disks, guest connection and the rest", async (t) => {
  const service = localService(t);
  const vm = await runningVm(service);
  const { system, init } = await loopingContainer(service);
  const v1 = await system.properties(["Statistics", "ProcessList", "MappedVirtualDisk", "GuestConnection"]);
  const { Statistics: statistics } = v1;
  t.ok(Number(statistics?.Memory.MemoryUsageCommitBytes ?? 0) > 0);
  t.ok(Number(statistics?.Processor.TotalRuntime100ns ?? 0) > 0);
  t.ok(Number(statistics?.Uptime100ns ?? 0) > 0);
  t.match(statistics?.Timestamp, /^\d{4}-\d\d-\d\dT/);
  t.ok(v1.ProcessList?.some(({ ProcessId }) => ProcessId === init.pid));
  t.strictSame(v1.MappedVirtualDiskControllers, {});
  const v2 = await system.propertiesV2([
    "Statistics",
    "ProcessList",
    "TerminateOnLastHandleClosed",
    "SystemGUID",
  ]);
  t.ok(Number(v2.Statistics?.Processor.TotalRuntime100ns ?? 0) > 0);
  t.type(v2.LCOWMetrics?.memory, "object");
  t.equal(
    v2.ProcessList?.some(({ ProcessId }) => ProcessId === init.pid),
    true,
  );
  t.equal(v2.TerminateOnLastHandleClosed, false);
  t.equal(v2.SystemGUID, v2.RuntimeId);

  const connection = await vm.propertiesV2(["GuestConnection"]);
  t.match(connection.GuestConnectionInfo, {
    ProtocolVersion: 4,
    SupportedSchemaVersions: [{ Major: 2, Minor: 1 }],
    GuestDefinedCapabilities: { SignalProcessSupported: true, DumpStacksSupported: true },
  });
  t.ok((await vm.properties(["GuestConnection"])).GuestConnectionInfo);
  for (const type of ["Statistics", "ProcessList", "Memory"] as const) {
    t.ok(hcs.isNotSupported(await rejection(vm.propertiesV2([type]))), `${type} of the VM`);
  }
  t.ok(hcs.isNotSupported(await rejection(vm.properties(["Battery" as never]))));
  const sized = await service.createComputeSystem("sized", {
    VirtualMachine: { ComputeTopology: { Memory: { SizeInMB: 512 } } },
  });
  const { Memory: memory } = await sized.propertiesV2(["Memory"]);
  t.equal(memory?.VirtualMachineMemory.AssignedMemory, 512 * 1024 * 1024);
});

test("modify changes a container's limits, and names what cannot be changed", async (t) => {
  const service = localService(t);
  const vm = await runningVm(service);
  const { system } = await loopingContainer(service, "container", { Memory: { SizeInMB: 64 } });
  const limit = async () => {
    const { LCOWMetrics } = await system.propertiesV2(["Statistics"]);
    return (LCOWMetrics as { memory: { usage: { limit: number } } }).memory.usage.limit;
  };
  t.equal(await limit(), 64 * 1024 * 1024);
  await system.modify({ ResourcePath: "Container/Memory/SizeInMB", RequestType: "Update", Settings: 96 });
  t.equal(await limit(), 96 * 1024 * 1024);
  await system.modify({
    GuestRequest: {
      ResourceType: "ContainerConstraints",
      RequestType: "Update",
      Settings: { Linux: { memory: { limit: 80 * 1024 * 1024 } } },
    },
  });
  t.equal(await limit(), 80 * 1024 * 1024);
  await system.modify({ ResourcePath: "Container/Processor", Settings: { Maximum: 5000, Weight: 200 } });

  for (const [target, request, name] of [
    [system, { ResourcePath: "Container/MappedPipes" }, "Container/MappedPipes"],
    [system, { GuestRequest: { ResourceType: "Network" } }, "Network"],
    [vm, { ResourcePath: "VirtualMachine/Devices/Scsi/0/Attachments/1" }, "Scsi/0/Attachments/1"],
    [vm, { GuestRequest: { ResourceType: "Teapot" } }, "Teapot"],
    [vm, { ResourcePath: "x", Extra: 1 } as never, "Extra"],
  ] as const) {
    const error = await rejection(target.modify(request));
    t.ok(hcs.isNotSupported(error), error.message);
    t.match(error.message, name);
  }
  t.match(await rejection(vm.modify({})), { code: "INVALID_ARGUMENT" });
});

test("modify of the VM reaches its guest", async (t) => {
  const service = localService(t);
  const vm = await runningVm(service);
  const error = await rejection(
    vm.modify({
      GuestRequest: {
        ResourceType: "CombinedLayers",
        Settings: { ContainerRootPath: "/x", Layers: [{ Path: "/none" }] },
      },
    }),
  );
  t.match(error, { name: "SystemError", id: "vm", op: "hcs::System::Modify" });
});

test("a container by its OCI specification, in its guest's words", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const system = await service.createComputeSystem("oci", {
    HostingSystemId: "vm",
    HostedSystem: {
      SchemaVersion: { Major: 2, Minor: 1 },
      OciSpecification: ociSpec({ args: ["/bin/sh", "-c", "echo from the specification"] }) as never,
    },
  });
  await system.start();
  // The specification says what runs: what the call says in its place would be left out in silence.
  for (const [field, value] of Object.entries({
    CommandArgs: ["echo", "instead"],
    CommandLine: "echo instead",
    User: "nobody",
    WorkingDirectory: "/tmp",
    Environment: { A: "1" },
    EmulateConsole: true,
    OCIProcess: { args: ["echo", "instead"], cwd: "/" },
  })) {
    const error = await rejection(system.createProcess({ [field]: value }));
    t.match(error, { code: "INVALID_ARGUMENT", message: new RegExp(`${field} has no effect`) });
  }
  t.match(await run(system, {}), { output: "from the specification\n", code: 0 });
  await system.wait();
  const twice = await rejection(
    service.createComputeSystem("oci", { HostingSystemId: "vm", HostedSystem: { Container: {} } }),
  );
  t.equal(hcs.codeOf(twice), hcs.ErrComputeSystemAlreadyExists);
  const bad = { HostingSystemId: "vm", HostedSystem: { OciSpecification: {} as never } };
  t.match(await rejection(service.createComputeSystem("bad", bad)), {
    op: "hcs::CreateComputeSystem",
    id: "bad",
  });
  t.strictSame(await service.getComputeSystems({ Ids: ["bad"] }), [], "nothing is left of it");
});
