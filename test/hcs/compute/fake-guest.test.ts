/** What a guest answers that a sound one hardly ever does, and what a user sees of it. */
import { once } from "node:events";
import { createServer } from "node:http";
import { test } from "tap";
import { AgentError } from "../../../src/common/errors.ts";
import * as hcs from "../../../src/hcs/index.ts";
import { lcow } from "../../cli/lcow.ts";
import { shortDirectory } from "../short-directory.ts";
import { type FakeSystems, fakeSystems } from "./fake-vm.ts";
import { rejection } from "./support.ts";

test("of thousands of processes the guest tells the first: properties and `lcow ps` say how many there are", async (t) => {
  const { guest, container } = await fakeSystems(t);
  const ProcessList = [{ ProcessId: 7 }, { ProcessId: 8 }, { ProcessId: 10 }];
  const answered = async <T>(asking: Promise<T>, ProcessCount?: number) => {
    const { id } = await guest.next("GetProperties");
    const Properties = { ProcessList, ...(ProcessCount !== undefined && { ProcessCount }) };
    guest.answer("GetProperties", id, { Result: 0, Properties });
    return await asking;
  };
  t.match(await answered(container.properties(["ProcessList"]), 5000), { ProcessList, ProcessCount: 5000 });
  t.match(await answered(container.propertiesV2(["ProcessList"]), 5000), { ProcessList, ProcessCount: 5000 });
  t.notOk(
    "ProcessCount" in (await answered(container.properties(["ProcessList"]))),
    "told where it says more",
  );

  const known = [
    { pid: 7, init: true, command: "sh" },
    { pid: 9, init: false, command: "ended meanwhile" },
    { pid: 900, init: false, command: "sleep 1" },
  ];
  const directory = shortDirectory(t);
  let count: number | undefined = 5000;
  const server = createServer(async (request, response) => {
    const isProperties = request.url?.includes("v1=ProcessList") === true;
    const body = isProperties ? await answered(container.properties(["ProcessList"]), count) : known;
    response.end(JSON.stringify(body));
  }).listen(`${directory}/socket`);
  t.teardown(() => server.close());
  const ps = (...more: string[]) => lcow(t, ["ps", "--state-directory", directory, ...more, "c"]);
  const { status, stdout, stderr } = await ps();
  t.equal(status, 0);
  t.equal(stderr, "lcow: of 5000 processes the first 3 are shown: the guest tells no more at once\n");
  const pids = stdout.match(/^\d+/gm);
  t.strictSame(pids, ["7", "8", "10", "900"], "beyond the list those whose end would be known");
  count = undefined;
  t.match(await ps("--json"), { stderr: "", stdout: /^\[.*"pid":10\D[^}]*\}\]$/m });
});

test("a pause that nobody waits for any more is told as what it comes to", async (t) => {
  const { service, driver, vm } = await fakeSystems(t);
  const caller = new AbortController();
  const pausing = rejection(vm.pause({ signal: caller.signal }));
  caller.abort();
  t.match(await pausing, { code: "ABORTED" });
  t.equal((await vm.properties()).State, "Running");
  t.match(await rejection(vm.resume()), { message: /about to pause/ });
  driver.paused.resolve();
  await vm.waitForNotification(hcs.HcsNotification.SystemPauseCompleted);
  t.equal((await vm.properties()).State, "Paused");
  await vm.resume();
  t.equal((await vm.properties()).State, "Running");
  driver.guest.socket.destroy();
  await service.close();
});

const LEFT = "could not clean up /run/x; remove it by hand";
const failure = new AgentError("HELPER_FAILED", LEFT);

test("what could not be removed is told by close(), and tried again by the next", async (t) => {
  const { service, driver, vm, container } = await fakeSystems(t);
  driver.closeFailures.set("vm", failure);
  const ended = [rejection(container.wait()), vm.wait()];
  await vm.terminate();
  await Promise.all(ended);
  t.match(await vm.properties(), { State: "Stopped", ExitType: "ForcedExit" }, "it has ended all the same");
  await container.close();
  t.match(await rejection(vm.close()), {
    name: "SystemError",
    message: /System::Close vm: .*remove it by hand/,
  });
  t.match(await service.getComputeSystems(), [{ Id: "vm", State: "Stopped" }]);
  t.equal(hcs.codeOf(await rejection(vm.properties())), hcs.ErrAlreadyClosed, "the handle is closed");
  driver.closeFailures.clear();
  await vm.close();
  t.strictSame(await service.getComputeSystems(), []);
});

test("with all handles closed it is a warning, and who opens it again can try again", async (t) => {
  const { service, driver, vm, container } = await fakeSystems(t);
  await container.close();
  await vm.close();
  driver.closeFailures.set("vm", failure);
  const warned = once(process, "warning");
  driver.died.resolve(new AgentError("TRANSPORT_CLOSED", "the machine has died"));
  const [warning] = await warned;
  t.match(warning, {
    code: "HCS_CLEANUP_FAILED",
    message: `what is left of system vm could not be removed: ${LEFT}`,
  });
  const again = await service.openComputeSystem("vm");
  t.match(await again.properties(), { ExitType: "UnexpectedExit" });
  t.match(await rejection(again.close()), { message: LEFT });
  driver.closeFailures.clear();
  await service.close();
  t.strictSame(await service.getComputeSystems(), []);
});

test("the service ends the machine of a guest that does not answer, and whatever fails of one, the others", async (t) => {
  const first = await fakeSystems(t);
  const init = await created(first);
  const exits = [first.container, init].map((handle) => rejection(handle.wait()));
  const other = await first.service.createComputeSystem("other", { VirtualMachine: {} });
  await other.start();
  first.driver.closeFailures.set("vm", failure);
  t.match(await rejection(first.service.close()), { message: LEFT });
  for (const error of await Promise.all(exits)) t.equal(hcs.codeOf(error), hcs.ErrUnexpectedProcessAbort);
  t.throws(() => init.exitCode(), { name: "ProcessError" }, "no exit code is made up");
  t.match(await first.service.getComputeSystems(), [{ Id: "vm" }], "what was not removed stays known");
  first.driver.closeFailures.clear();
  await first.service.close();
  t.strictSame(await first.service.getComputeSystems(), []);
});

/** Init of the container, which runs for as long as the guest says nothing else. */
async function created({ container, guest }: FakeSystems) {
  const creating = container.createProcess();
  guest.answer("ExecuteProcess", (await guest.next("ExecuteProcess")).id, { Result: 0, ProcessId: 7 });
  return await creating;
}
