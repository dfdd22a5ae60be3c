import { once } from "node:events";
import { text } from "node:stream/consumers";
import { test } from "tap";
import * as hcs from "../../../src/hcs/index.ts";
import { localService, loopingContainer, rejection, run, runningContainer, runningVm } from "./support.ts";

test("pid, systemId, stdio, closeStdin, wait and exitCode", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const { system } = await loopingContainer(service);
  const process = await system.createProcess({
    CommandArgs: ["/bin/sh", "-c", "cat; echo done >&2; exit 9"],
    CreateStdInPipe: true,
    CreateStdOutPipe: true,
    CreateStdErrPipe: true,
  });
  t.ok(process.pid > 0);
  t.equal(process.systemId, "container");
  t.throws(() => process.exitCode(), {
    name: "ProcessError",
    pid: process.pid,
    cause: hcs.ErrInvalidProcessState,
  });
  const { stdin, stdout, stderr } = process.stdio();
  if (stdin === undefined || stdout === undefined || stderr === undefined) throw new Error("no stdio");
  stdin.write("through ");
  stdin.write("cat");
  await process.closeStdin();
  t.strictSame(await Promise.all([text(stdout), text(stderr)]), ["through cat", "done\n"]);
  t.equal(await process.wait(), 9);
  t.equal(process.exitCode(), 9);
  t.equal(await process.kill(), false, "nothing to kill any more");
  t.equal(await process.signal(15), false);
  await process.closeStdin();
  await process.closeStdout();
  await process.closeStderr();
  await process.close();
  await process.close();
  t.equal(process.exitCode(), 9, "it stays known");
  for (const call of [process.kill(), process.signal(1), process.closeStdin(), process.resizeConsole(1, 1)]) {
    t.ok(hcs.isAlreadyClosed(await rejection(call)));
  }
});

test("streams that were not asked for are not there", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const { system } = await loopingContainer(service);
  const process = await system.createProcess({ CommandArgs: ["true"] });
  t.strictSame(process.stdio(), {});
  t.strictSame(process.stdioLegacy(), {});
  await process.closeStdin();
  t.equal(await process.wait(), 0);
});

test("signal and kill tell whether they were delivered", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const { system, init } = await loopingContainer(service);
  const sleeper = () => system.createProcess({ CommandArgs: ["sleep", "1000"] });
  const signalled = await sleeper();
  t.equal(await signalled.signal({ Signal: 15 }), true);
  t.equal(await signalled.wait(), 128 + 15);
  const killed = await sleeper();
  t.equal(await killed.kill(), true);
  t.equal(await killed.wait(), 128 + 9);
  t.match(await rejection(init.signal(65)), { name: "ProcessError", op: "hcs::Process::Signal" });
  t.equal(await init.signal(15), true);
  t.equal(await init.wait(), 3);
});

test("a terminal, and its size", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const { system } = await loopingContainer(service);
  const process = await system.createProcess({
    CommandArgs: ["/bin/sh", "-c", "stty size; read -r line; stty size"],
    EmulateConsole: true,
    ConsoleSize: [30, 100],
    CreateStdInPipe: true,
    CreateStdOutPipe: true,
    CreateStdErrPipe: true,
  });
  const { stdin, stdout, stderr } = process.stdio();
  t.equal(stderr, undefined, "a terminal has one output");
  if (stdin === undefined || stdout === undefined) throw new Error("no stdio");
  const [first] = await once(stdout.setEncoding("utf8"), "data");
  t.match(first, "30 100");
  await process.resizeConsole(120, 40);
  stdin.write("\n");
  t.match(await text(stdout), "40 120");
  t.equal(await process.wait(), 0);
  const plain = await system.createProcess({ CommandArgs: ["sleep", "1000"] });
  t.match(await rejection(plain.resizeConsole(80, 24)), { op: "hcs::Process::ResizeConsole" });
  await plain.kill();
});

test("several handles to one process", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const { system } = await loopingContainer(service);
  const process = await system.createProcess({
    CommandArgs: ["/bin/sh", "-c", "echo one; read -r line; echo $line"],
    CreateStdInPipe: true,
    CreateStdOutPipe: true,
  });
  const other = await (await service.openComputeSystem("container")).openProcess(process.pid);
  t.equal(other.pid, process.pid);
  t.strictSame(other.stdio(), {}, "the streams belong to the first handle");
  const [mine, another] = [other.stdioLegacy(), process.stdioLegacy()];
  if (mine.stdin === undefined || mine.stdout === undefined) throw new Error("no stdio");
  const [line] = await once(mine.stdout.setEncoding("utf8"), "data");
  t.equal(line, "one\n");
  mine.stdin.end("from the other handle\n");
  await once(mine.stdin, "finish");
  mine.stdout.destroy();
  if (another.stdout === undefined) throw new Error("no stdout");
  t.equal(await text(another.stdout), "from the other handle\n", "closing one end does not close the stream");
  t.strictSame(await Promise.all([process.wait(), other.wait()]), [0, 0]);
  await process.close();
  t.equal(other.exitCode(), 0);
  const missing = await rejection(system.openProcess(1));
  t.equal(hcs.codeOf(missing), hcs.ErrElementNotFound);
  t.ok(hcs.isNotExist(missing) && hcs.isAlreadyStopped(missing), "nobody can tell which");
});

test("what has ended is forgotten with its last handle", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const { system } = await loopingContainer(service);
  const process = await system.createProcess({ CommandArgs: ["sleep", "1000"] });
  await process.close();
  const other = await system.openProcess(process.pid);
  await other.kill();
  t.equal(await other.wait(), 137);
  const last = await system.openProcess(process.pid);
  await other.close();
  t.equal(last.exitCode(), 137, "as long as there is a handle");
  await last.close();
  t.ok(hcs.isNotExist(await rejection(system.openProcess(process.pid))));
});

test("close ends the waits through that handle, and the process runs on", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const { system } = await loopingContainer(service);
  const process = await system.createProcess({ CommandArgs: ["sleep", "1000"], CreateStdOutPipe: true });
  const other = await system.openProcess(process.pid);
  const waiting = rejection(process.wait());
  await process.close();
  t.ok(hcs.isAlreadyClosed(await waiting));
  t.throws(() => process.exitCode(), { cause: hcs.ErrAlreadyClosed });
  t.equal(await other.kill(), true);
  t.equal(await other.wait(), 137);
});

test("closeStdout and closeStderr: what is written then has no reader", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const { system } = await loopingContainer(service);
  const process = await system.createProcess({
    CommandArgs: ["/bin/sh", "-c", "read -r line; echo ignored; echo ignored >&2; exit 4"],
    CreateStdInPipe: true,
    CreateStdOutPipe: true,
    CreateStdErrPipe: true,
  });
  await process.closeStdout();
  await process.closeStderr();
  const { stdin, stdout, stderr } = process.stdio();
  t.equal(stdout?.destroyed && stderr?.destroyed, true);
  stdin?.write("go\n");
  t.type(await process.wait(), "number");
});

test("parameters: user, directory, environment, command line, the OCI process, in the VM", async (t) => {
  const service = localService(t);
  const vm = await runningVm(service);
  const { system } = await loopingContainer(service, "container", { GuestOs: { HostName: "somewhere" } });
  const shown = await run(system, {
    CommandLine: 'echo "$(hostname) $(id -un) $(pwd) $WHAT"',
    User: "nobody",
    WorkingDirectory: "/tmp",
    Environment: { WHAT: "a b" },
  });
  t.equal(shown.output, "somewhere nobody /tmp a b\n");
  const oci = await run(system, { OCIProcess: { args: ["pwd"], cwd: "/etc", env: ["PATH=/bin"] } });
  t.equal(oci.output, "/etc\n");
  const inside = await run(system, { CommandArgs: ["readlink", "/proc/1/exe"] });
  t.equal(inside.output, "/bin/busybox\n", "its own pid namespace");
  for (const outside of [vm, system]) {
    const parameters = {
      CommandArgs: ["/bin/sh", "-c", "echo $VARIABLE; pwd"],
      Environment: { VARIABLE: "value", PATH: "/bin:/usr/bin" },
      WorkingDirectory: "/etc",
      ...(outside === system && { CreateInUtilityVm: true }),
    };
    t.equal((await run(outside, parameters)).output, "value\n/etc\n", `in the VM, through ${outside.id}`);
  }
  const bad: [hcs.ProcessParameters, RegExp][] = [
    [{}, /no program/],
    [{ CommandArgs: ["a"], CommandLine: "a" }, /not both/],
    [{ CommandArgs: ["a"], RestrictedToken: true } as never, /RestrictedToken is not known/],
    [{ CommandArgs: ["a"], ConsoleSize: [1] }, /ConsoleSize/],
    [{ OCISpecification: {} as never }, /first process/],
    [
      { OCIProcess: { args: ["a"], cwd: "/" }, CommandArgs: ["b"] },
      /CommandArgs has no effect beside OCIProcess/,
    ],
    [{ OCIProcess: { args: ["a"], cwd: "/" }, User: "nobody" }, /User has no effect beside OCIProcess/],
    [{ CreateInUtilityVm: true, CommandArgs: ["a"], User: "x" }, /User has no meaning/],
    [{ CommandArgs: ["/no/such/program"] }, /no such file|not found/i],
  ];
  for (const [parameters, message] of bad) {
    const error = await rejection(system.createProcess(parameters));
    t.match(error, { name: "SystemError", op: "hcs::System::CreateProcess", message });
  }
});

test("a signal ends a wait, and tells its reason", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const { system, init } = await loopingContainer(service);
  const enough = new Error("enough");
  for (const wait of [init.wait.bind(init), system.wait.bind(system)]) {
    const controller = new AbortController();
    const waiting = rejection(wait({ signal: controller.signal }));
    controller.abort(enough);
    const error = await waiting;
    t.ok(hcs.isError(error, enough), error.message);
    t.match(error, { code: "ABORTED" });
    t.ok(hcs.isError(await rejection(wait({ signal: AbortSignal.abort(enough) })), enough), "aborted before");
    const timedOut = AbortSignal.abort(new DOMException("too late", "TimeoutError"));
    t.ok(hcs.isTimeout(await rejection(wait({ signal: timedOut }))));
  }
  const signal = AbortSignal.abort(enough);
  for (const call of [
    system.createProcess({ CommandArgs: ["true"] }, { signal }),
    system.properties(["Statistics"], { signal }),
    system.propertiesV2(["ProcessList"], { signal }),
    system.shutdown({ signal }),
    init.signal(10, { signal }),
    init.kill({ signal }),
    init.resizeConsole(1, 1, { signal }),
  ]) {
    t.ok(hcs.isError(await rejection(call), enough));
  }
  t.equal((await system.properties()).State, "Running", "nothing was asked of the guest");
  const other = await service.createComputeSystem("other", { VirtualMachine: {} });
  t.ok(hcs.isError(await rejection(other.start({ signal })), enough));
  t.equal((await other.properties()).State, "Created");
  await other.start();
});

test("a first process that cannot be started leaves room for another", async (t) => {
  const service = localService(t);
  await runningVm(service);
  const system = await runningContainer(service);
  await rejection(system.createProcess({ CommandArgs: ["true"], User: "no such user" }));
  t.equal((await system.properties()).State, "Running");
  t.match(await run(system, { CommandArgs: ["echo", "second"] }), { output: "second\n", code: 0 });
});
