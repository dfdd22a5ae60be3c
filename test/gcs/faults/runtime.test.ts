/** Faults of the OCI runtime, one test each, all done to one agent; world.ts has what is checked after each. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import t, { type Test } from "tap";
import { errorFromResponse } from "../../../src/protocol/hresult.ts";
import { FaultyRuntime } from "./runtime.ts";
import { FaultWorld, ok, type Reply } from "./world.ts";

const ID = "hit";
/** Longest message that a host gets, whatever the runtime said, in characters. */
const LONGEST_MESSAGE = 8192;

// Not called runc: of a runtime that it does not know, the agent lets the runtime itself start and delete.
const runtime = new FaultyRuntime("runtime");
t.teardown(() => runtime.remove());
const world = await FaultWorld.start(t, ["--oci-runtime", runtime.path]);

interface Step {
  readonly before?: () => Promise<unknown>;
  readonly fail: () => Promise<Reply>;
  readonly after?: () => Promise<unknown>;
}

/** What fails when the runtime does: before and after, it does not. */
const STEPS = {
  create: { fail: () => world.create(ID) },
  start: {
    before: () => ok(world.create(ID)),
    async fail() {
      const reply = await world.start(ID);
      await world.exitOf(ID);
      return reply;
    },
    after: () => ok(world.delete(ID)),
  },
  exec: { fail: () => world.exec("bystander") },
  delete: {
    async before() {
      await ok(world.create(ID));
      await ok(world.start(ID));
      await ok(world.request("ShutdownForced", { ContainerId: ID }));
      await world.exitOf(ID);
    },
    fail: () => world.delete(ID),
    after: () => ok(world.delete(ID)),
  },
} satisfies Record<string, Step>;
const NAMES = Object.keys(STEPS) as (keyof typeof STEPS)[];

async function failOnce(t: Test, step: Step, breakIt: () => void, says: RegExp): Promise<void> {
  await step.before?.();
  breakIt();
  const { Result, ErrorMessage } = await step.fail();
  runtime.mend();
  const message = String(ErrorMessage);
  t.equal(
    errorFromResponse({ Result: Number(Result), ErrorMessage: message }).code,
    "RUNTIME_FAILED",
    message,
  );
  t.match(message, says);
  t.ok(message.length < LONGEST_MESSAGE, `${message.length} characters`);
  await step.after?.();
}

async function check(t: Test, step: Step, breakIt: () => void, says: RegExp): Promise<void> {
  await failOnce(t, step, breakIt, says);
  await world.checkUnharmed(t, ID);
}

/** In seconds. Wherever these are: each moment is one at which a machine's memory may run out. */
const MOMENTS = ["0.003", "0.008", "0.020", "0.040"];
const isKilled = (name: string) => new RegExp(`^runtime ${name} failed with exit code 137`);
const DONE_AND_KILLED = '$real "$@"; kill -9 $$';

await t.test("the runtime is killed before it does anything", async (t) => {
  for (const name of NAMES)
    await check(t, STEPS[name], () => runtime.fail(name, "kill -9 $$"), isKilled(name));
});

await t.test("the runtime is killed in the middle", async (t) => {
  for (const name of NAMES) {
    for (const moment of MOMENTS) {
      const fragment = `$real "$@" & sleep ${moment}; kill -9 $!; wait; kill -9 $$`;
      await failOnce(t, STEPS[name], () => runtime.fail(name, fragment), isKilled(name));
    }
    await world.checkUnharmed(t, ID);
  }
});

await t.test("the runtime is killed when it has done all", async (t) => {
  for (const name of NAMES)
    await check(t, STEPS[name], () => runtime.fail(name, DONE_AND_KILLED), isKilled(name));
});

await t.test("the runtime is killed while the init it made waits for it", async (t) => {
  const hook = { path: "/bin/sh", args: ["sh", "-c", "kill -9 $PPID"] };
  const options = { args: ["/bin/true"], extra: { hooks: { createRuntime: [hook] } } };
  await check(t, { fail: () => world.create(ID, options) }, () => undefined, /exit code 137/);
});

/** Creates, is killed, and is killed when it is to undo that. */
function breakUndo(): void {
  runtime.fail("create", DONE_AND_KILLED);
  for (const command of ["state", "delete"]) runtime.fail(command, "kill -9 $$");
}

await t.test("the runtime cannot undo what it did either", async (t) => {
  const create = { ...STEPS.create, after: () => world.life("other") };
  await check(t, create, breakUndo, /exit code 137/);
});

await t.test("the runtime could undo nothing, and the same container is wanted at once", async (t) => {
  await check(t, { ...STEPS.create, after: () => world.life(ID) }, breakUndo, /exit code 137/);
});

await t.test("the runtime is not there", async (t) => {
  for (const name of NAMES)
    await check(t, STEPS[name], () => rmSync(runtime.path), /faulty-\w+\/runtime.*ENOENT/);
});

await t.test("the runtime cannot be executed", async (t) => {
  const programs = [
    () => chmodSync(runtime.path, 0o644),
    () => {
      rmSync(runtime.path);
      mkdirSync(runtime.path);
    },
    () => writeFileSync(runtime.path, "\x7fELF, or so it seems"),
  ];
  for (const make of programs) await failOnce(t, STEPS.create, make, /faulty-\w+\/runtime/);
  await world.checkUnharmed(t, ID);
});

await t.test("the runtime says that it did what it did not", async (t) => {
  for (const terminal of [false, true]) {
    const create = { fail: () => world.create(ID, { args: ["/bin/true"], terminal }) };
    const says = terminal ? /no terminal came from runtime/ : /the runtime wrote no pid file/;
    await failOnce(t, create, () => runtime.fail("create", "exit 0"), says);
  }
  await check(t, STEPS.exec, () => runtime.fail("exec", "exit 0"), /the runtime wrote no pid file/);
});

await t.test("the runtime names another's process as what it made", async (t) => {
  const stranger = spawn("/bin/sleep", ["1000"]);
  const ended = once(stranger, "exit");
  const named = (pid: unknown) => `$real "$@"; printf %s '${pid}' > "$pid_file"; exit 0`;
  for (const pid of [stranger.pid, 1, "x", ""])
    await failOnce(t, STEPS.create, () => runtime.fail("create", named(pid)), /pid file/);
  await ok(world.create("other"));
  const { ProcessId } = await ok(world.start("other"));
  await failOnce(t, STEPS.exec, () => runtime.fail("exec", named(ProcessId)), /pid file/);
  process.kill(Number(ProcessId), 0);
  await world.end("other");
  t.ok(stranger.kill());
  t.same(await ended, [null, "SIGTERM"], "it ends by this test's signal");
  await world.checkUnharmed(t, ID);
});

await t.test("the runtime's log is cut off, no JSON, zeros, or one long line", async (t) => {
  const logs: [write: string, says: RegExp][] = [
    [`printf '{"level":"error","msg":"cut o' > "$log"`, /it gave no reason|cut o/],
    [`echo "out of cheese" > "$log"`, /it gave no reason|out of cheese/],
    ['truncate -s 64M "$log"', /it gave no reason/],
    ['head -c 1000000 /dev/zero | tr "\\0" x > "$log"', /it gave no reason|x{100}/],
  ];
  for (const [write, says] of logs)
    await failOnce(t, STEPS.create, () => runtime.fail("create", `${write}; exit 1`), says);
  await world.checkUnharmed(t, ID);
});

await t.test("what the runtime says of a container is no JSON", async (t) => {
  await ok(world.create(ID));
  await ok(world.start(ID));
  runtime.fail("pause", "exit 1");
  runtime.fail("state", "echo '{\"id\":'; exit 0");
  const Request = {
    ...{ ResourceType: "ContainerExecutionState", RequestType: "Update" },
    Settings: { State: "Paused" },
  };
  const pause = () => world.request("ModifySettings", { ContainerId: ID, Request });
  t.match((await pause()).ErrorMessage, /runtime's state command gave no JSON/);
  runtime.mend();
  await ok(pause());
  await world.end(ID);
  await world.checkUnharmed(t, ID);
});

await t.test("what hangs is told, each with its age and whose it is", async (t) => {
  const dump = async () => String((await ok(world.request("DumpStacks", { ContainerId: "" }))).GuestStacks);
  const { ProcessId } = await ok(world.exec("bystander"));
  const waited = world.wait("bystander", ProcessId);
  const go = `${world.agent.directory}/go`;
  runtime.fail("exec", `until [ -e ${go} ]; do sleep 0.05; done`);
  const hanging = world.exec("bystander", ["/bin/true"]);
  let text = "";
  while (!/under way:\n {2}runtime exec/.test(text)) text = await dump();
  const age = "for \\d+\\.\\d{3} s";
  t.match(text, new RegExp(`^  ExecuteProcess id=\\d+ container=bystander pending ${age}$`, "m"));
  t.match(
    text,
    new RegExp(`^  WaitForProcess id=\\d+ container=bystander process=${ProcessId} pending ${age}$`, "m"),
  );
  t.match(text, new RegExp(`^  runtime exec of container bystander ${age}$`, "m"));
  const started = "running, started [\\d.]+ s ago, waited for by";
  t.match(text, new RegExp(`^  bystander running\n    process \\d+ \\(init\\) ${started} 0, `, "m"));
  t.match(
    text,
    new RegExp(`^    process \\d+ ${started} 0, stdin open, \\d+ bytes, stdout open, \\d+ bytes$`, "m"),
  );
  t.match(text, new RegExp(`^    process ${ProcessId} ${started} 1$`, "m"));
  writeFileSync(go, "");
  await ok(hanging);
  rmSync(go);
  await ok(world.request("SignalProcess", { ContainerId: "bystander", ProcessId, Options: { Signal: 9 } }));
  t.match(await waited, { ExitCode: 137 });
  runtime.mend();
  t.match(await dump(), /^under way:\n {2}none$/m);
  await world.checkUnharmed(t, ID);
});
