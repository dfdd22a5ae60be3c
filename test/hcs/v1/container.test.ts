import { once } from "node:events";
import { existsSync } from "node:fs";
import { text } from "node:stream/consumers";
import { type Test, test } from "tap";
import * as hcs from "../../../src/hcs/index.ts";
import { ociSpec } from "../../helpers/bundle.ts";
import { LOOP, rejection } from "../compute/support.ts";

const { v1 } = hcs;
const LINUX: hcs.ContainerConfig = { ContainerType: "Linux", HvPartition: true };

/** The functions work on the default service, so each test has a new one. */
function newService(t: Test): void {
  hcs.setDriver(new hcs.LocalDriver());
  const service = hcs.defaultService();
  t.teardown(() => service.close());
}

/** A container that runs, whose init loops until SIGTERM and then exits with 3. */
async function looping(id = "container", config = LINUX) {
  const container = await v1.createContainer(id, config);
  await container.start();
  const init = await container.createProcess({ CommandArgs: LOOP, CreateStdOutPipe: true });
  const { stdout } = await init.stdio();
  if (stdout === undefined) throw new Error("no stdout");
  await once(stdout, "data");
  return { container, init };
}

test("start, createProcess, shutdown and wait", async (t) => {
  newService(t);
  const container = await v1.createContainer("c1", {
    ...LINUX,
    Name: "named",
    Owner: "me",
    HostName: "host1",
  });
  t.equal(container.id, "c1");
  t.match(await v1.getContainers({ Owners: ["me"] }), [{ Id: "c1", Name: "named", State: "Created" }]);
  const early = await rejection(container.createProcess({ CommandArgs: ["true"] }));
  t.ok(hcs.isOperationInvalidState(early));
  await container.start();
  const init = await container.createProcess({ CommandArgs: LOOP });
  const exec = await container.createProcess({ CommandLine: "hostname", CreateStdOutPipe: true });
  const { stdout } = await exec.stdio();
  t.equal(stdout && (await text(stdout)), "host1\n");
  await exec.wait();
  t.equal(await exec.exitCode(), 0);
  t.equal(await container.hasPendingUpdates(), false);
  const pending = await rejection(container.shutdown());
  t.ok(hcs.isPending(pending));
  t.match(pending, { name: "ContainerError", operation: "hcsshim::ComputeSystem::Shutdown", container });
  t.match(pending.message, /^container c1 encountered an error during hcsshim::ComputeSystem::Shutdown: /);
  await container.wait();
  await init.wait();
  t.match(await v1.getContainers(), [{ State: "Stopped", ExitType: "GracefulExit" }]);
  await container.close();
  await container.close();
  t.strictSame(await v1.getContainers(), [], "VM and all");
  t.ok(hcs.isAlreadyClosed(await rejection(container.start())));
});

test("terminate and waitTimeout", async (t) => {
  newService(t);
  const { container, init } = await looping();
  for (const wait of [container.waitTimeout(1), init.waitTimeout(1)]) {
    const late = await rejection(wait);
    t.ok(hcs.isTimeout(late));
    t.equal(hcs.codeOf(late), hcs.ErrTimeout);
    t.match(late.name, /^(Container|Process)Error$/);
  }
  t.ok(hcs.isPending(await rejection(container.terminate())));
  await container.waitTimeout(60_000);
  await init.waitTimeout(60_000);
  t.equal(await init.exitCode(), 137);
  t.ok(hcs.isPending(await rejection(container.terminate())), "hcsshim says so of a stopped one, too");

  const never = await v1.createContainer("never", LINUX);
  await rejection(never.terminate());
  await never.wait();
});

test("pause, resume, statistics, processList, mappedVirtualDisks", async (t) => {
  newService(t);
  const { container, init } = await looping("container", {
    ...LINUX,
    MemoryMaximumInMB: 64,
    ProcessorWeight: 50,
  });
  await container.pause();
  t.match(await v1.getContainers(), [{ State: "Paused" }]);
  t.ok(hcs.isOperationInvalidState(await rejection(container.pause())));
  await container.resume();
  const statistics = await container.statistics();
  t.ok(Number(statistics.Memory.MemoryUsageCommitBytes ?? 0) > 0);
  t.ok(Number(statistics.Processor.TotalRuntime100ns ?? 0) > 0);
  const list = await container.processList();
  t.ok(list.some(({ ProcessId }) => ProcessId === init.pid));
  t.strictSame(await container.mappedVirtualDisks(), {});
  const limit = await container.createProcess({
    CommandLine:
      "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true",
    CreateStdOutPipe: true,
  });
  const { stdout } = await limit.stdio();
  t.equal(stdout && (await text(stdout)).trim(), String(64 * 1024 * 1024));
  await container.pause();
  t.ok(hcs.isPending(await rejection(container.terminate())), "ended while it is paused");
  await container.wait();
});

test("a process: pid, stdio, closeStdin, resizeConsole, kill, openProcess, close", async (t) => {
  newService(t);
  const { container } = await looping();
  const process = await container.createProcess({
    CommandArgs: ["/bin/sh", "-c", "stty size; cat"],
    EmulateConsole: true,
    ConsoleSize: [24, 80],
    CreateStdInPipe: true,
    CreateStdOutPipe: true,
  });
  t.ok(process.pid > 0);
  t.equal(process.containerId, "container");
  const { stdin, stdout } = await process.stdio();
  if (stdin === undefined || stdout === undefined) throw new Error("no stdio");
  t.match((await once(stdout.setEncoding("utf8"), "data"))[0], "24 80");
  await process.resizeConsole(100, 30);
  t.match(await rejection(process.exitCode()), { name: "ProcessError", cause: hcs.ErrInvalidProcessState });
  const opened = await container.openProcess(process.pid);
  await opened.kill();
  await process.wait();
  t.equal(await opened.exitCode(), 137);
  const gone = await rejection(process.kill());
  t.match(gone, { name: "ProcessError", operation: "hcsshim::Process::Kill", process });
  t.ok(hcs.isNotExist(gone) && hcs.isAlreadyStopped(gone));
  t.match(gone.message, `process ${process.pid} in container container encountered an error during`);
  await process.closeStdin();
  await process.close();
  await process.close();
  t.ok(hcs.isAlreadyClosed(await rejection(process.stdio())));
  t.ok(hcs.isNotExist(await rejection(container.openProcess(1))));

  const reader = await container.createProcess({
    CommandArgs: ["cat"],
    CreateStdInPipe: true,
    CreateStdOutPipe: true,
  });
  const pipes = await reader.stdio();
  pipes.stdin?.write("through");
  await reader.closeStdin();
  t.equal(pipes.stdout && (await text(pipes.stdout)), "through");
  await reader.wait();
});

test("openContainer is a second handle; closing it ends its waits only", async (t) => {
  newService(t);
  const { container } = await looping();
  const other = await v1.openContainer("container");
  const waiting = rejection(other.wait());
  await other.close();
  t.match(await waiting, { name: "ContainerError" });
  t.ok(hcs.isAlreadyClosed(await waiting));
  t.ok((await container.processList()).length > 0);
  t.ok(hcs.isNotExist(await rejection(v1.openContainer("none"))));
});

test("an OCI specification, mapped directories, layers' end, processes in the utility VM", async (t) => {
  newService(t);
  const directory = t.testdir({ "file.txt": "mapped\n" });
  const container = await v1.createContainer("mapped", {
    ...LINUX,
    MappedDirectories: [{ HostPath: directory, ContainerPath: "/run/data", ReadOnly: true }],
  });
  await container.start();
  const cat = await container.createProcess({
    CommandArgs: ["cat", "/run/data/file.txt"],
    CreateStdOutPipe: true,
  });
  const { stdout } = await cat.stdio();
  t.equal(stdout && (await text(stdout)), "mapped\n");
  await container.wait();
  const nowhere = await v1.createContainer("nowhere", {
    ...LINUX,
    MappedDirectories: [{ HostPath: directory, ContainerPath: "/nowhere" }],
  });
  await nowhere.start();
  const elsewhere = await nowhere.createProcess({
    CommandArgs: ["cat", "/nowhere/file.txt"],
    CreateStdOutPipe: true,
  });
  const shown = await elsewhere.stdio();
  t.equal(shown.stdout && (await text(shown.stdout)), "mapped\n", "where the root has no such directory");
  await nowhere.wait();

  const oci = await v1.createContainer("oci", LINUX);
  await oci.start();
  const outside = await oci.createProcess({
    CommandArgs: ["/bin/ls", directory],
    CreateInUtilityVm: true,
    CreateStdOutPipe: true,
  });
  const listed = await outside.stdio();
  t.equal(listed.stdout && (await text(listed.stdout)), "file.txt\n", "before there is a container");
  const init = await oci.createProcess({
    OCISpecification: ociSpec({ args: ["/bin/sh", "-c", "hostname"] }) as never,
    CreateStdOutPipe: true,
  });
  const named = await init.stdio();
  t.equal(named.stdout && (await text(named.stdout)), "test\n");
  await oci.wait();
});

test("a container that is to end with its last handle", async (t) => {
  newService(t);
  const { container, init } = await looping("short", { ...LINUX, TerminateOnLastHandleClosed: true });
  t.ok(existsSync(`/proc/${init.pid}`));
  await container.close();
  await init.wait();
  while ((await v1.getContainers()).length > 0) await new Promise(setImmediate);
  t.notOk(existsSync(`/proc/${init.pid}`));
});

test("modify knows networks, which the local driver has not", async (t) => {
  newService(t);
  const { container } = await looping();
  for (const config of [
    { ResourceType: "Network", Settings: { EndpointId: "e" } },
    { ResourceType: "Network", Settings: { EndpointId: "e" }, RequestType: "Remove" },
    { ResourceType: "Network", Settings: {} },
    { ResourceType: "Storage", Settings: {} },
  ]) {
    const error = await rejection(container.modify(config));
    t.match(error, { name: "ContainerError", operation: "hcs::System::Modify" });
    t.ok(hcs.isNotSupported(error), error.message);
  }
});

test("a guest that dies", async (t) => {
  newService(t);
  const { container, init } = await looping();
  const waits = [container.wait(), init.wait()].map(rejection);
  const stat = await import("node:fs").then(({ readFileSync }) =>
    readFileSync(`/proc/${init.pid}/stat`, "utf8"),
  );
  const agent = Number(stat.slice(stat.lastIndexOf(")")).split(" ")[2]);
  process.kill(agent, "SIGKILL");
  const [ended, lost] = await Promise.all(waits);
  t.equal(hcs.codeOf(ended), hcs.ErrVmcomputeUnexpectedExit);
  t.match(ended, { name: "ContainerError" });
  t.equal(hcs.codeOf(lost), hcs.ErrUnexpectedProcessAbort);
  t.match(lost, { name: "ProcessError" });
});

test("what a container has written and how it ended is not lost with its VM", async (t) => {
  newService(t);
  const container = await v1.createContainer("brief", LINUX);
  await container.start();
  const init = await container.createProcess({
    CommandArgs: ["/bin/sh", "-c", "head -c 3000000 /dev/zero; exit 7"],
    CreateStdOutPipe: true,
  });
  const { stdout } = await init.stdio();
  // Nobody reads, until the end has had time to come.
  await container.waitTimeout(300).catch((error: unknown) => t.ok(hcs.isTimeout(error)));
  let size = 0;
  for await (const chunk of stdout as AsyncIterable<Buffer>) size += chunk.length;
  t.equal(size, 3_000_000);
  await init.wait();
  t.equal(await init.exitCode(), 7);
  await container.wait();
  const quick = await v1.createContainer("quick", LINUX);
  await quick.start();
  const processes = await quick.createProcess({ CommandArgs: ["true"] });
  await processes.wait();
  t.equal(await processes.exitCode(), 0);
});
