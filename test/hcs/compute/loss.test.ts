import { readdirSync, readFileSync } from "node:fs";
import { test } from "tap";
import * as hcs from "../../../src/hcs/index.ts";
import { HcsNotification } from "../../../src/hcs/index.ts";
import { localService, loopingContainer, rejection, runningVm } from "./support.ts";

/** The agents that this process has started, by their command lines. */
function agentPids(): number[] {
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").trim().split(" ");
  return children
    .map(Number)
    .filter((pid) => readdirSync("/proc").includes(String(pid)))
    .filter((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("gcs/main.ts"));
}

test("a guest that dies: a coded error for every waiter, and no invented exit code", async (t) => {
  const service = localService(t);
  const vm = await runningVm(service);
  const { system, init } = await loopingContainer(service);
  const ended = await system.createProcess({ CommandArgs: ["true"] });
  t.equal(await ended.wait(), 0);
  const waits = [init.wait(), init.wait(), system.wait(), vm.wait()].map(rejection);
  const notification = rejection(system.waitForNotification(HcsNotification.SystemSaveCompleted));
  const [pid = 0] = agentPids();
  process.kill(pid, "SIGKILL");
  const [first, second, container, machine] = await Promise.all(waits);
  for (const error of [first, second]) {
    t.match(error, { name: "ProcessError", pid: init.pid, systemId: "container", code: "TRANSPORT_CLOSED" });
    t.equal(hcs.codeOf(error), hcs.ErrUnexpectedProcessAbort);
  }
  t.match(container, { name: "SystemError", id: "container" });
  t.equal(hcs.codeOf(container), hcs.ErrUnexpectedProcessAbort);
  t.match(machine, { name: "SystemError", id: "vm", message: /SIGKILL/ });
  t.equal(hcs.codeOf(machine), hcs.ErrVmcomputeUnexpectedExit);
  t.equal(hcs.codeOf(await notification), hcs.ErrUnexpectedProcessAbort);

  t.throws(() => init.exitCode(), { name: "ProcessError" });
  t.equal(ended.exitCode(), 0, "what was known stays known");
  t.equal(hcs.codeOf(vm.exitError()), hcs.ErrVmcomputeUnexpectedExit);
  t.ok(system.waitError());
  for (const state of [await vm.properties(), await system.properties()]) {
    t.match(state, { State: "Stopped", ExitType: "UnexpectedExit" });
  }
  t.ok(hcs.isAlreadyStopped(await rejection(system.createProcess())));
  await rejection(init.kill());
  await init.closeStdin();
  await init.close();
  await system.shutdown();
  await vm.terminate();
  await system.close();
  await vm.close();
  t.strictSame(await service.getComputeSystems(), []);
});

test("containers of a VM that is ended", async (t) => {
  const service = localService(t);
  const vm = await runningVm(service);
  const { system, init } = await loopingContainer(service);
  await system.pause();
  await vm.terminate();
  await vm.wait();
  t.equal(hcs.codeOf(await rejection(system.wait())), hcs.ErrUnexpectedProcessAbort);
  t.equal(hcs.codeOf(await rejection(init.wait())), hcs.ErrUnexpectedProcessAbort);
});
