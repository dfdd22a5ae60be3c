import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { test } from "tap";
import * as hcs from "../../../src/hcs/index.ts";
import { copyRootfs } from "../../helpers/rootfs.ts";
import { localService, loopingContainer, rejection, run, runningContainer, runningVm } from "./support.ts";

test("systems are found by id, type, name and owner, and opened by id", async (t) => {
  const service = localService(t);
  await runningVm(service);
  await runningContainer(service, "one");
  const mine: hcs.ComputeSystemDocument = { Owner: "me", HostingSystemId: "vm", Container: {} };
  await service.createComputeSystem("two", mine);
  const found = async (query?: hcs.ComputeSystemQuery) =>
    (await service.getComputeSystems(query)).map(({ Id }) => Id).toSorted();
  t.strictSame(await found(), ["one", "two", "vm"]);
  t.strictSame(await found({ Ids: ["one", "vm", "none"] }), ["one", "vm"]);
  t.strictSame(await found({ Types: ["VirtualMachine"] }), ["vm"]);
  t.strictSame(await found({ Names: ["two"] }), ["two"]);
  t.strictSame(await found({ Owners: ["tests"] }), ["vm"]);
  t.strictSame(await found({ Types: ["Container"], Owners: ["me"] }), ["two"]);
  t.strictSame(await found({ Ids: [] }), ["one", "two", "vm"], "an empty list asks for nothing");
  t.match(await service.getComputeSystems({ Ids: ["vm"] }), [
    { State: "Running", SystemType: "VirtualMachine" },
  ]);

  const opened = await service.openComputeSystem("one");
  t.equal((await opened.properties()).State, "Running");
  const missing = await rejection(service.openComputeSystem("none"));
  t.match(missing, { name: "SystemError", id: "none", op: "hcs::OpenComputeSystem" });
  t.ok(hcs.isNotExist(missing));
});

test("what cannot be created: bad ids, taken ids, hosts that are none", async (t) => {
  const service = localService(t);
  const document: hcs.ComputeSystemDocument = { VirtualMachine: {} };
  for (const id of ["", "../x", "a/b", "x".repeat(256)]) {
    t.match(await rejection(service.createComputeSystem(id, document)), { name: "SystemError", id });
  }
  await service.createComputeSystem("vm", document);
  const taken = await rejection(service.createComputeSystem("vm", document));
  t.equal(hcs.codeOf(taken), hcs.ErrComputeSystemAlreadyExists);
  const hosted = (HostingSystemId: string): hcs.ComputeSystemDocument => ({ HostingSystemId, Container: {} });
  t.ok(hcs.isNotExist(await rejection(service.createComputeSystem("c", hosted("none")))));
  t.ok(hcs.isOperationInvalidState(await rejection(service.createComputeSystem("c", hosted("vm")))));
  const unknown = { VirtualMachine: { Devices: { Battery: {} } } } as never;
  t.ok(hcs.isNotSupported(await rejection(service.createComputeSystem("d", unknown))));
  const disk = { Scsi: { "0": { Attachments: { "0": { Path: "/disk" } } } } };
  const refused = await rejection(service.createComputeSystem("d", { VirtualMachine: { Devices: disk } }));
  t.ok(hcs.isNotSupported(refused));
  t.match(
    refused.message,
    "VirtualMachine.Devices.Scsi.Attachments",
    "the local driver names what it cannot do",
  );
});

test("handles: the last one of a stopped system lets go of it", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const { system } = await loopingContainer(service);
  const other = await service.openComputeSystem("container");
  const waiting = rejection(other.wait());
  await other.close();
  await other.close();
  t.ok(hcs.isAlreadyClosed(await waiting));
  t.ok(other.waitChannel.aborted);
  t.ok(hcs.isAlreadyClosed(other.waitError()));
  t.ok(hcs.isAlreadyClosed(other.exitError()));
  for (const call of [
    other.start(),
    other.pause(),
    other.resume(),
    other.save(),
    other.modify({ ResourcePath: "x" }),
    other.createProcess(),
    other.openProcess(1),
    other.properties(),
    other.propertiesV2(),
  ]) {
    t.ok(hcs.isAlreadyClosed(await rejection(call)));
  }
  await other.shutdown();
  await other.terminate();
  t.equal((await system.properties()).State, "Running", "through a closed handle nothing is ended");

  await system.terminate();
  await system.wait();
  t.equal((await service.getComputeSystems({ Ids: ["container"] })).length, 1);
  await system.close();
  t.strictSame(await service.getComputeSystems({ Ids: ["container"] }), []);
  await runningContainer(service);
  t.pass("the id is free again, in the guest too");
});

test("a system that is to end with its last handle", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const system = await service.createComputeSystem("short", {
    HostingSystemId: "vm",
    HostedSystem: { Container: {} },
    ShouldTerminateOnLastHandleClosed: true,
  });
  await system.start();
  t.equal((await system.propertiesV2(["TerminateOnLastHandleClosed"])).TerminateOnLastHandleClosed, true);
  await system.createProcess({ CommandArgs: ["sleep", "1000"] });
  const other = await service.openComputeSystem("short");
  await system.close();
  t.equal((await other.properties()).State, "Running");
  const vm = await service.openComputeSystem("vm");
  await other.close();
  // Told by the guest, so a little later.
  while ((await service.getComputeSystems({ Ids: ["short"] })).length > 0) await new Promise(setImmediate);
  t.equal((await vm.properties()).State, "Running");
});

test("a container's document: root, mapped directories, layers", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const directory = t.testdir({ shared: { "file.txt": "of this machine\n" } });
  const root = copyRootfs(`${directory}/root`);
  const own = await runningContainer(service, "own", {
    Storage: { Path: root, ReadWrite: true },
    MappedDirectories: [
      { HostPath: `${directory}/shared`, ContainerPath: "/shared", ReadOnly: true },
      { HostPath: directory, ContainerPath: "/writable" },
    ],
    Processor: { Count: 1 },
  });
  const shown = await run(own, {
    CommandLine:
      "cat /shared/file.txt; touch /shared/x || echo read-only; echo new > /writable/new; touch /written",
  });
  t.match(shown, { output: "of this machine\nread-only\n", code: 0 });
  t.ok(existsSync(`${root}/written`), "as was asked for");
  t.ok(existsSync(`${directory}/new`));

  const kept = await runningContainer(service, "kept", { Storage: { Path: root } });
  t.match(await run(kept, { CommandLine: "touch /lost; ls /lost", WorkingDirectory: "/made" }), {
    output: "/lost\n",
    code: 0,
  });
  t.notOk(existsSync(`${root}/lost`), "a root stays as it is");
  t.notOk(existsSync(`${root}/made`), "and its working directory is made above it");
  await kept.wait();
  await kept.close();

  const layers = ["top", "bottom"].map((name) => `${directory}/${name}`);
  for (const layer of layers) mkdirSync(layer);
  writeFileSync(`${directory}/top/which`, "top\n");
  writeFileSync(`${directory}/bottom/which`, "bottom\n");
  writeFileSync(`${directory}/bottom/only`, "bottom\n");
  mkdirSync(`${directory}/scratch`);
  const layered = await runningContainer(service, "layered", {
    Storage: { Layers: [...layers, root].map((Path) => ({ Path })), Path: `${directory}/scratch` },
  });
  t.match(await run(layered, { CommandLine: "cat /which /only; echo > /made; ls /made" }), {
    output: "top\nbottom\n/made\n",
    code: 0,
  });
  t.notOk(existsSync(`${root}/made`), "layers are not written to");
  await layered.wait();
  await layered.close();

  const bare = await runningContainer(service, "bare", {
    Storage: { Layers: [root].map((Path) => ({ Path })) },
    MappedDirectories: [{ HostPath: `${directory}/shared`, ContainerPath: "/place/of/mount" }],
  });
  t.match(await run(bare, { CommandLine: "cat /place/of/mount/file.txt; touch /x || echo read-only" }), {
    output: "of this machine\nread-only\n",
  });
  t.notOk(existsSync(`${root}/place`), "mount points are made above a layer");

  const nowhere = await runningContainer(service, "nowhere", { Storage: { Path: `${directory}/none` } });
  t.match(await rejection(nowhere.createProcess({ CommandArgs: ["true"] })), { name: "SystemError" });
});

test("the service's own properties and settings", async (t) => {
  const service = localService(t);
  t.strictSame(await service.getServiceProperties(), {
    Properties: [{ SupportedSchemaVersions: [{ Major: 2, Minor: 1 }] }],
  });
  await service.modifyServiceSettings({ PropertyType: "Timeouts", Settings: { SystemStartMs: 1 } });
  t.match(await service.getServiceProperties({ PropertyTypes: ["Timeouts", "Basic"] }), {
    Properties: [{ SystemStartMs: 1, SystemCreateMs: 240_000 }, { SupportedSchemaVersions: Array }],
  });
  const slow = await service.createComputeSystem("slow", { VirtualMachine: {} });
  const late = await rejection(slow.start());
  t.ok(hcs.isTimeout(late), "nothing starts within a millisecond");
  t.equal(hcs.codeOf(late), hcs.ErrTimeout);
  t.equal((await slow.properties()).State, "Created", "it can be started again");
  for (const call of [
    service.getServiceProperties({ PropertyTypes: ["CpuGroup"] }),
    service.modifyServiceSettings({ PropertyType: "CpuGroup" }),
    service.modifyServiceSettings({ PropertyType: "Timeouts", Settings: { Other: 1 } }),
    service.modifyServiceSettings({ PropertyType: "Timeouts", Settings: { SystemStartMs: "1" } }),
  ]) {
    const error = await rejection(call);
    t.match(error, { name: "HcsError" });
    t.ok(hcs.isNotSupported(error), error.message);
  }
});

test("notifications are waited for, and the waits' errors", async (t) => {
  const { HcsNotification: N } = hcs;
  const service = localService(t);
  const vm = await service.createComputeSystem("vm", { VirtualMachine: {} });
  await vm.waitForNotification(N.SystemCreateCompleted);
  const started = vm.waitForNotification(N.SystemStartCompleted);
  await vm.start();
  await started;
  const invalid = await rejection(vm.waitForNotification(N.SystemRdpEnhancedModeStateChanged));
  t.equal(hcs.codeOf(invalid), hcs.ErrInvalidNotificationType);
  const late = await rejection(vm.waitForNotification(N.SystemSaveCompleted, { timeoutMs: 1 }));
  t.equal(hcs.codeOf(late), hcs.ErrTimeout);
  const other = await service.openComputeSystem("vm");
  const closing = rejection(other.waitForNotification(N.SystemSaveCompleted));
  await other.close();
  t.equal(hcs.codeOf(await closing), hcs.ErrHandleClose);
  const paused = vm.waitForNotification(N.SystemPauseCompleted);
  await vm.pause();
  await paused;
  await vm.resume();
  await vm.waitForNotification(N.SystemResumeCompleted);
  const exit = vm.waitForNotification(N.SystemExited);
  const unexpected = rejection(vm.waitForNotification(N.SystemSaveCompleted));
  await vm.terminate();
  await exit;
  t.equal(hcs.codeOf(await unexpected), hcs.ErrUnexpectedContainerExit);
});

test("functions on the default service", async (t) => {
  hcs.setDriver(new hcs.LocalDriver());
  t.teardown(() => hcs.defaultService().close());
  const system = await hcs.createComputeSystem("default", { VirtualMachine: {} });
  t.equal((await hcs.openComputeSystem("default")).id, system.id);
  t.match(await hcs.getComputeSystems(), [{ Id: "default" }]);
  t.match(await hcs.getServiceProperties(), { Properties: [{}] });
  await hcs.modifyServiceSettings({ PropertyType: "Timeouts", Settings: {} });
});
