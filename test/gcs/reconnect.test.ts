/** What happens to requests when the connection to the host goes away and comes back. */
import t, { type Test } from "tap";
import { Session } from "../../src/gcs/bridge/session.ts";
import { encodeFrame } from "../../src/protocol/frame.ts";
import { requestTypeOf } from "../../src/protocol/messages.ts";
import { createBody, executeBody, runSleeper } from "../helpers/gcs-requests.ts";
import { startGuest } from "../helpers/guest.ts";
import type { RawHost } from "../helpers/raw-host.ts";

const FOREVER = 0xffffffff;
/** hcsshim's, exitProbeTimeoutMs. */
const PROBE_MS = 50;

async function exitOf(pid: number): Promise<void> {
  for (let waited = 0; waited < 10_000; waited += 10) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`process ${pid} did not exit`);
}

function sendNegotiate(host: RawHost, id: bigint): void {
  const body = { ContainerId: "", MinimumVersion: 4, MaximumVersion: 4 };
  host.send(requestTypeOf("NegotiateProtocol"), id, body);
}

await t.test("a wait outlives the connection, and is answered once", async (t) => {
  const { agent, host } = await startGuest(t);
  await host.negotiate();
  const pid = await runSleeper(host, "c1", `${agent.directory}/c/c1`);
  host.send(requestTypeOf("WaitForProcess"), 5000n, {
    ContainerId: "c1",
    ProcessId: pid,
    TimeoutInMs: FOREVER,
  });
  host.send(requestTypeOf("SignalProcess"), 5001n, {
    ContainerId: "c1",
    ProcessId: pid,
    Options: { Signal: 10 },
  });
  await host.reply("SignalProcess", 5001n);

  host.bridge.destroy();
  process.kill(pid, "SIGKILL");
  await exitOf(pid);
  await host.accept();
  sendNegotiate(host, 5002n);
  t.equal((await host.reply("NegotiateProtocol", 5002n)).body.Result, 0);
  const answer = await host.reply("WaitForProcess", 5000n);
  t.match(answer.body, { Result: 0, ExitCode: 137 }, "the answer to the old id comes on the new connection");
  const exit = await host.take(({ body }) => body.Type !== undefined, "the exit notification");
  t.match(exit.body, { ContainerId: "c1", Type: "UnexpectedExit" });

  host.bridge.destroy();
  await host.accept();
  sendNegotiate(host, 5003n);
  await host.reply("NegotiateProtocol", 5003n);
  t.equal((await host.request("DeleteContainerState", { ContainerId: "c1" })).Result, 0);
  t.equal(host.received.filter(({ id }) => id === 5000n).length, 1, "nothing is sent twice");
  t.equal(host.received.filter(({ body }) => body.Type !== undefined).length, 1, "the notification neither");
});

await t.test("a host that counts anew gets no answers to another's questions", async (t) => {
  const { agent, host } = await startGuest(t);
  sendNegotiate(host, 0n);
  await host.reply("NegotiateProtocol", 0n);
  const pid = await runSleeper(host, "c1", `${agent.directory}/c/c1`);
  host.send(requestTypeOf("WaitForProcess"), 5000n, {
    ContainerId: "c1",
    ProcessId: pid,
    TimeoutInMs: FOREVER,
  });
  host.send(requestTypeOf("Start"), 5001n, { ContainerId: "c1" });
  await host.reply("Start", 5001n);

  host.bridge.destroy();
  process.kill(pid, "SIGKILL");
  await exitOf(pid);
  await host.accept();
  sendNegotiate(host, 0n);
  await host.take(({ id, body }) => id === 0n && body.Version === 4, "the second negotiation's reply");
  await host.take(
    ({ body }) => body.Type === "UnexpectedExit",
    "the exit notification, which is for whoever is there",
  );
  t.equal((await host.request("DeleteContainerState", { ContainerId: "c1" })).Result, 0);
  t.equal(host.received.filter(({ id }) => id === 5000n).length, 0);
});

/** As hcsshim's destination of a live migration: ids from the start, then above all that the source gave out. */
async function arriveAtDestination(host: RawHost, exited: number): Promise<void> {
  host.bridge.destroy();
  if (exited !== 0) {
    process.kill(exited, "SIGKILL");
    await exitOf(exited);
  }
  host.received.length = 0;
  await host.accept();
  sendNegotiate(host, 0n);
  await host.reply("NegotiateProtocol", 0n);
}

async function waitAtSource(t: Test): Promise<{ host: RawHost; pid: number; wait: Record<string, unknown> }> {
  const { agent, host } = await startGuest(t);
  sendNegotiate(host, 0n);
  await host.reply("NegotiateProtocol", 0n);
  const pid = await runSleeper(host, "c1", `${agent.directory}/c/c1`);
  const wait = { ContainerId: "c1", ProcessId: pid };
  host.send(requestTypeOf("WaitForProcess"), 1100n, { ...wait, TimeoutInMs: FOREVER });
  host.send(requestTypeOf("Start"), 1101n, { ContainerId: "c1" });
  await host.reply("Start", 1101n);
  return { host, pid, wait };
}

await t.test(
  "a host that a running machine moved to gets the answers it has adopted, once it has",
  async (t) => {
    const { host, pid, wait } = await waitAtSource(t);
    await arriveAtDestination(host, 0);
    host.send(requestTypeOf("WaitForProcess"), 1200n, { ...wait, TimeoutInMs: PROBE_MS });
    t.equal(
      Number((await host.reply("WaitForProcess", 1200n)).body.Result) >>> 0,
      0xc0370109,
      "it runs still",
    );
    process.kill(pid, "SIGKILL");
    t.match((await host.reply("WaitForProcess", 1100n)).body, { Result: 0, ExitCode: 137 }, "by the old id");
    await host.take(({ body }) => body.Type === "UnexpectedExit", "the exit notification");
  },
);

await t.test(
  "what ended while the machine moved is told when its host asks, and nothing before",
  async (t) => {
    const { host, pid, wait } = await waitAtSource(t);
    await arriveAtDestination(host, pid);
    host.send(requestTypeOf("DumpStacks"), 1200n, { ContainerId: "" });
    await host.reply("DumpStacks", 1200n);
    t.same(
      host.received.map(({ id }) => id),
      [0n, 1200n],
      "an answer or notification that it does not expect would end its bridge",
    );
    host.send(requestTypeOf("WaitForProcess"), 1201n, { ...wait, TimeoutInMs: PROBE_MS });
    t.match((await host.reply("WaitForProcess", 1201n)).body, { Result: 0, ExitCode: 137 });
    t.match((await host.reply("WaitForProcess", 1100n)).body, { Result: 0, ExitCode: 137 });
    await host.take(({ body }) => body.Type === "UnexpectedExit", "the exit notification");
    t.equal(host.received.filter(({ id }) => id === 1100n).length, 1);
  },
);

await t.test("a host that counted up to the old ids by itself has adopted nothing", async (t) => {
  const { host, pid, wait } = await waitAtSource(t);
  await arriveAtDestination(host, pid);
  for (let id = 1n; id <= 1102n; id++) host.send(requestTypeOf("Start"), id, { ContainerId: "c1" });
  await host.reply("Start", 1102n);
  host.send(requestTypeOf("WaitForProcess"), 1103n, { ...wait, TimeoutInMs: PROBE_MS });
  t.match((await host.reply("WaitForProcess", 1103n)).body, { Result: 0, ExitCode: 137 });
  await host.take(({ body }) => body.Type === "UnexpectedExit", "the exit notification");
  t.equal(host.received.filter(({ id }) => id === 1100n).length, 1, "its own Start had that id, and no more");
});

t.test(
  "a host that has adopted is told of no container that it has not named, however long that takes",
  (t) => {
    let now = 0;
    t.intercept(performance, "now", { value: () => now });
    const source = new Session();
    for (const id of [0n, 1n, 2n]) source.note(id, "");
    const adopts = new Session(source);
    const counts = new Session(source);
    for (const session of [adopts, counts]) {
      session.note(0n, "");
      session.begin();
    }
    t.ok(adopts.note(3n, "c1"));
    now = 60_000;
    t.same(
      ["c1", "c2"].map((id) => adopts.takesNotification(id)),
      [true, false],
    );
    t.ok(counts.takesNotification("c2"), "one that counts by itself may have it from elsewhere");
    const flapped = new Session(new Session(source));
    flapped.note(0n, "");
    flapped.note(3n, "");
    t.ok(flapped.hasAdopted, "a connection between that did nothing changes nothing");
    t.end();
  },
);

await t.test("what a host has not adopted is not the next one's", async (t) => {
  const { host, pid, wait } = await waitAtSource(t);
  await arriveAtDestination(host, 0);
  host.send(requestTypeOf("WaitForProcess"), 1n, { ...wait, TimeoutInMs: FOREVER });
  await arriveAtDestination(host, pid);
  host.send(requestTypeOf("WaitForProcess"), 1200n, { ...wait, TimeoutInMs: PROBE_MS });
  t.match((await host.reply("WaitForProcess", 1200n)).body, { Result: 0, ExitCode: 137 });
  await host.take(({ body }) => body.Type === "UnexpectedExit", "the exit notification");
  t.same(
    host.received.filter(({ body }) => body.ExitCode !== undefined).map(({ id }) => id),
    [1n, 1200n],
    "the source's wait went with the host that did not adopt it",
  );
});

await t.test("waits of hosts that came and went take no room", { timeout: 120_000 }, async (t) => {
  const { host, pid, wait } = await waitAtSource(t);
  const body = JSON.stringify({ ...wait, TimeoutInMs: FOREVER });
  const frames = Array.from({ length: 6000 }, (_, index) =>
    encodeFrame(requestTypeOf("WaitForProcess"), BigInt(index + 1), body),
  );
  for (let hosts = 0; hosts < 3; hosts++) {
    await arriveAtDestination(host, 0);
    host.bridge.write(Buffer.concat(frames));
    host.send(requestTypeOf("Start"), 6001n, { ContainerId: "c1" });
    await host.reply("Start", 6001n);
  }
  process.kill(pid, "SIGKILL");
  await host.take(({ body }) => body.Type === "UnexpectedExit", "the exit notification");
  t.equal(host.received.filter(({ body }) => body.ExitCode === 137).length, 6000);
});

await t.test("of a container that never started no end is told", async (t) => {
  const { agent, host } = await startGuest(t);
  await host.negotiate();
  for (const id of ["deleted", "killed"]) {
    t.match(await host.request("Create", createBody(id, `${agent.directory}/c/${id}`)), { Result: 0 });
  }
  t.match(await host.request("ShutdownForced", { ContainerId: "killed" }), { Result: 0 });
  for (const id of ["deleted", "killed"])
    t.match(await host.request("DeleteContainerState", { ContainerId: id }), { Result: 0 });
  const pid = await runSleeper(host, "started", `${agent.directory}/c/started`);
  process.kill(pid, "SIGKILL");
  await host.take(
    ({ body }) => body.ContainerId === "started" && body.Type !== undefined,
    "one that did start",
  );
  t.same(
    host.received.filter(({ body }) => body.Type !== undefined).map(({ body }) => body.ContainerId),
    ["started"],
  );
});

await t.test("a slow request holds no other up", async (t) => {
  const { agent, host } = await startGuest(t);
  await host.negotiate();
  t.match(await host.request("Create", createBody("c1", `${agent.directory}/c/c1`)), { Result: 0 });
  // Nobody listens on this port, so the start is busy dialling for a while.
  host.send(
    requestTypeOf("ExecuteProcess"),
    7000n,
    executeBody("c1", { CreateStdOutPipe: true }, { StdOut: 0x40005555 }),
  );
  t.match(await host.request("DumpStacks", { ContainerId: "" }), {
    GuestStacks: /ExecuteProcess id=7000 container=c1 pending/,
  });
  t.match(await host.request("Create", createBody("c2", `${agent.directory}/c/c2`)), { Result: 0 });
  t.equal(
    host.received.some(({ id }) => id === 7000n),
    false,
    "the others were answered first",
  );
  t.not((await host.reply("ExecuteProcess", 7000n)).body.Result, 0);
  t.match(
    await host.request("ExecuteProcess", executeBody("c1")),
    { Result: 0 },
    "and the start may be tried again",
  );
});
