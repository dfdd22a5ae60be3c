import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { dirname } from "node:path";
import { text } from "node:stream/consumers";
import { type Test, test } from "tap";
import { AgentError } from "../../../src/common/errors.ts";
import { GuestConnection, type ListenOptions } from "../../../src/hcs/guest/guest-connection.ts";
import { UnixHostTransport } from "../../../src/hcs/transport/unix-host-transport.ts";
import { encodeFrame } from "../../../src/protocol/frame.ts";
import { BRIDGE_PORT, requestTypeOf, responseTypeOf } from "../../../src/protocol/messages.ts";
import { shortDirectory } from "../short-directory.ts";
import { dialPort, FakeGuest } from "./fake-guest.ts";

const CONTAINER = { bundlePath: "/run/gcs/c/c1", spec: { process: { args: ["/bin/true"], cwd: "/" } } };

async function listen(t: Test, options: ListenOptions = {}) {
  const prefix = `${shortDirectory(t)}/uvm`;
  const transport = new UnixHostTransport(prefix);
  t.teardown(() => transport.close());
  const connection = await GuestConnection.listen(transport, options);
  t.teardown(() => connection.close());
  return { prefix, connection };
}

async function connect(t: Test, options: ListenOptions = {}) {
  const { prefix, connection } = await listen(t, options);
  const accepted = connection.accept({ timeoutMs: 20_000 });
  const guest = await FakeGuest.negotiated(prefix);
  await accepted;
  return { prefix, connection, guest };
}

async function createContainer(connection: GuestConnection, guest: FakeGuest, id = "c1") {
  const creating = connection.createContainer(id, CONTAINER);
  const request = await guest.next("Create");
  guest.answer("Create", request.id, { Result: 0 });
  return await creating;
}

test("negotiates version 4 first; ids count up from 0", async (t) => {
  const { connection, guest } = await connect(t);
  await createContainer(connection, guest);
  t.match(guest.received, [
    { name: "NegotiateProtocol", id: 0n, body: { MinimumVersion: 4, MaximumVersion: 4 } },
    {
      name: "Create",
      id: 1n,
      body: { ContainerId: "c1", ContainerConfig: /"OciBundlePath":"\/run\/gcs\/c\/c1"/ },
    },
  ]);
  t.equal(connection.capabilities.RuntimeOsType, "Linux");
});

test("nobody dials, the wait is aborted, a wrong version: each ends the connection with its code", async (t) => {
  const late = await listen(t);
  await t.rejects(late.connection.accept({ timeoutMs: 20 }), { code: "TIMEOUT" });
  await t.rejects(late.connection.dumpStacks(), {
    code: "TRANSPORT_CLOSED",
    message: /DumpStacks for the utility VM/,
  });
  t.notOk(existsSync(`${late.prefix}_${BRIDGE_PORT}`), "the socket is gone");

  const abort = new AbortController();
  const aborted = await listen(t);
  const accepting = aborted.connection.accept({ signal: abort.signal });
  abort.abort();
  await t.rejects(accepting, { code: "ABORTED" });

  const wrong = await listen(t);
  const refused = t.rejects(wrong.connection.accept(), {
    code: "UNSUPPORTED_PROTOCOL_VERSION",
    message: /version 3/,
  });
  const guest = await FakeGuest.dial(wrong.prefix);
  const { id } = await guest.next("NegotiateProtocol");
  guest.answer("NegotiateProtocol", id, { Result: 0, Version: 3, Capabilities: {} });
  await refused;
  await guest.closed;
});

test("when the bridge dies every pending promise rejects, naming its message", async (t) => {
  const { connection, guest, prefix } = await connect(t);
  const container = await createContainer(connection, guest);
  const executing = container.createProcess();
  const execute = await guest.next("ExecuteProcess");
  guest.answer("ExecuteProcess", execute.id, { Result: 0, ProcessId: 7 });
  const process = await executing;
  const pending = [
    t.rejects(process.wait(), { code: "TRANSPORT_CLOSED", message: /WaitForProcess for container c1/ }),
    t.rejects(process.wait(1000), { code: "TRANSPORT_CLOSED", message: /WaitForProcess for container c1/ }),
    t.rejects(container.exited, { code: "TRANSPORT_CLOSED", message: /container c1/ }),
    t.rejects(connection.dumpStacks(), { code: "TRANSPORT_CLOSED", message: /DumpStacks/ }),
    t.rejects(container.createProcess({ stdin: true, stdout: true }), { code: "TRANSPORT_CLOSED" }),
  ];
  await guest.next("WaitForProcess");
  await guest.next("WaitForProcess");
  await guest.next("DumpStacks");
  await guest.next("ExecuteProcess");
  guest.socket.destroy();
  await Promise.all(pending);
  t.match(await connection.ended, {
    code: "TRANSPORT_CLOSED",
    message: "the guest closed the bridge connection",
  });
  t.same(readdirSync(dirname(prefix)), [], "no listener is left");
  await t.rejects(process.wait(), { code: "TRANSPORT_CLOSED" });
  await t.rejects(process.signal(9), { code: "TRANSPORT_CLOSED", message: /SignalProcess for container c1/ });
});

test("a guest that breaks the protocol is dropped", async (t) => {
  const breaches = {
    "a frame above 64 KiB": [encodeFrame(responseTypeOf("Start"), 1n, " ".repeat(64 * 1024 - 15)), /65537/],
    "an answer to no request": [
      encodeFrame(responseTypeOf("Start"), 99n, "{}"),
      /message 99, which was never sent/,
    ],
    "an answer of another type": [encodeFrame(responseTypeOf("Start"), 1n, '{"Result":0}'), /Start response/],
    "a request": [encodeFrame(requestTypeOf("Start"), 1n, "{}"), /Start request/],
    "no JSON": [encodeFrame(responseTypeOf("DumpStacks"), 1n, "{"), /not valid JSON/],
    "a cut frame": [encodeFrame(responseTypeOf("DumpStacks"), 1n, "{}").subarray(0, 17), /within a frame/],
  } as const;
  for (const [what, [bytes, message]] of Object.entries(breaches)) {
    const { connection, guest } = await connect(t);
    const pending = connection.dumpStacks().then(
      () => t.fail("answered"),
      (error: unknown) => error,
    );
    await guest.next("DumpStacks");
    guest.socket.end(bytes);
    t.type(await pending, AgentError, what);
    const { message: reason, cause } = await connection.ended;
    t.match(`${reason}: ${cause}`, message, what);
    await guest.closed;
  }
});

test("a frame of exactly 64 KiB is taken", async (t) => {
  const { connection, guest } = await connect(t);
  const stacks = connection.dumpStacks();
  const { id } = await guest.next("DumpStacks");
  const fill = 64 * 1024 - 16 - '{"Result":0,"GuestStacks":""}'.length;
  guest.socket.write(
    encodeFrame(responseTypeOf("DumpStacks"), id, `{"Result":0,"GuestStacks":"${"x".repeat(fill)}"}`),
  );
  t.equal((await stacks).length, fill);
});

test("a reply after the deadline or the abort is dropped, and the bridge lives on", async (t) => {
  const { connection, guest } = await connect(t);
  await t.rejects(connection.dumpStacks({ timeoutMs: 20 }), {
    code: "TIMEOUT",
    message: /DumpStacks.*20 ms/,
  });
  const abort = new AbortController();
  const aborted = t.rejects(connection.dumpStacks({ signal: abort.signal }), { code: "ABORTED" });
  const [first, second] = [await guest.next("DumpStacks"), await guest.next("DumpStacks")];
  abort.abort();
  await aborted;
  const third = connection.dumpStacks();
  const { id } = await guest.next("DumpStacks");
  guest.answer("DumpStacks", second.id, { Result: 0, GuestStacks: "second" });
  guest.answer("DumpStacks", first.id, { Result: 0, GuestStacks: "first" });
  guest.answer("DumpStacks", id, { Result: 0, GuestStacks: "third" });
  t.equal(await third, "third");
});

test("a refusal rejects with the code of its HRESULT; so does a request that cannot be sent", async (t) => {
  const { connection, guest } = await connect(t);
  const creating = connection.createContainer("c1", CONTAINER);
  guest.refuse(
    "Create",
    (await guest.next("Create")).id,
    new AgentError("SYSTEM_ALREADY_EXISTS", "c1 is there"),
  );
  await t.rejects(creating, {
    code: "SYSTEM_ALREADY_EXISTS",
    message: /Create for container c1: c1 is there/,
  });
  const cycle: Record<string, unknown> = {};
  cycle.itself = cycle;
  await t.rejects(connection.createContainer("c2", { ...CONTAINER, spec: cycle }), {
    code: "INVALID_ARGUMENT",
    message: /Create for container c2 cannot be sent/,
  });
});

test("stdio: ports are drawn at random, listeners are gone after the accept, ends travel both ways", async (t) => {
  const { connection, guest, prefix } = await connect(t);
  const container = await createContainer(connection, guest);
  const executing = container.createProcess({ stdin: true, stdout: true, stderr: true });
  const execute = await guest.next("ExecuteProcess");
  const { StdIn, StdOut, StdErr } = stdioPortsOf(execute.body);
  const neighbours = [StdOut - StdIn, StdErr - StdOut].filter((distance) => Math.abs(distance) < 1000);
  t.same(neighbours, [], "nobody can count from one to the next");
  const [stdin, stdout, stderr] = await Promise.all(
    [StdIn, StdOut, StdErr].map((port) => dialPort(prefix, port)),
  );
  if (!stdin || !stdout || !stderr) throw new Error("three dials make three sockets");
  const second = await dialPort(prefix, StdOut);
  if (!second.readableEnded) await once(second.resume(), "end");
  t.pass("who dials a port as the second is turned away");
  guest.answer("ExecuteProcess", execute.id, { Result: 0, ProcessId: 7 });
  const process = await executing;
  t.same(readdirSync(dirname(prefix)), [], "all listeners are closed");

  process.stdin?.write("to the process");
  stdout.write("from the process");
  const closedByHost = new Promise((resolve) => stdout.once("end", resolve));
  stdout.end();
  stderr.end();
  await process.closeStdin();
  t.equal(await text(stdin), "to the process");
  t.equal(process.stdout && (await text(process.stdout)), "from the process");
  stdout.resume();
  await closedByHost;
  t.pass("the host closes stdout once it is read, for which the guest waits");
  process.stderr?.resume();

  const wait = await guest.next("WaitForProcess");
  t.match(wait.body, { ProcessId: 7, TimeoutInMs: 0xffffffff });
  guest.answer("WaitForProcess", wait.id, { Result: 0, ExitCode: 143 });
  t.equal(await process.wait(), 143);
  guest.notifyExit("c1", "GracefulExit");
  t.equal(await container.exited, "GracefulExit");
  const signalling = process.signal();
  const signal = await guest.next("SignalProcess");
  t.notOk(Object.hasOwn(signal.body, "Options"), "no signal means SIGKILL");
  guest.refuse("SignalProcess", signal.id, new AgentError("PROCESS_NOT_FOUND", "gone"));
  t.equal(await signalling, false);
  await t.rejects(process.signal(65), { code: "INVALID_ARGUMENT" });
});

test("an execute that fails leaves no listener and no stream", async (t) => {
  const { connection, guest, prefix } = await connect(t);
  const container = await createContainer(connection, guest);
  const executing = container.createProcess({ stdin: true, stdout: true });
  const execute = await guest.next("ExecuteProcess");
  const stdout = await dialPort(prefix, stdioPortsOf(execute.body).StdOut);
  const reset = new Promise((resolve) =>
    stdout
      .once("close", resolve)
      .once("end", () => stdout.end())
      .resume(),
  );
  guest.refuse("ExecuteProcess", execute.id, new AgentError("RUNTIME_FAILED", "no such program"));
  await t.rejects(executing, { code: "RUNTIME_FAILED", message: /no such program/ });
  await reset;
  t.same(readdirSync(dirname(prefix)), []);
});

test("a guest that dials again is negotiated with anew; what was pending goes on", async (t) => {
  const { connection, guest, prefix } = await connect(t, { reconnectTimeoutMs: 20_000 });
  const container = await createContainer(connection, guest);
  const executing = container.createProcess();
  const execute = await guest.next("ExecuteProcess");
  guest.answer("ExecuteProcess", execute.id, { Result: 0, ProcessId: 7 });
  const process = await executing;
  const wait = await guest.next("WaitForProcess");
  const stacks = connection.dumpStacks();
  const dump = await guest.next("DumpStacks");
  guest.socket.destroy();
  await guest.closed;

  const again = await FakeGuest.dial(prefix);
  const negotiation = await again.next("NegotiateProtocol");
  const queued = connection.dumpStacks();
  again.negotiate(negotiation.id);
  const repeated = await again.next("WaitForProcess");
  t.not(repeated.id, wait.id);
  t.not(
    (await again.next("DumpStacks")).id,
    dump.id,
    "harmless ones are asked again, in case they were lost",
  );
  const late = await again.next("DumpStacks");
  again.answer("DumpStacks", dump.id, { Result: 0, GuestStacks: "kept by the guest" });
  again.answer("DumpStacks", late.id, { Result: 0, GuestStacks: "asked while it was away" });
  t.equal(await stacks, "kept by the guest");
  t.equal(await queued, "asked while it was away");
  again.answer("WaitForProcess", wait.id, { Result: 0, ExitCode: 5 });
  again.answer("WaitForProcess", repeated.id, { Result: 0, ExitCode: 5 });
  t.equal(await process.wait(), 5);
});

test("a guest that does not come back ends the connection", async (t) => {
  const { connection, guest } = await connect(t, { reconnectTimeoutMs: 50 });
  const stacks = connection.dumpStacks();
  await guest.next("DumpStacks");
  guest.socket.destroy();
  await t.rejects(stacks, { code: "TRANSPORT_CLOSED" });
  t.match(await connection.ended, { message: /did not come back/ });
});

test("shutdown of the utility VM is sent without waiting for a reply", async (t) => {
  const { connection, guest } = await connect(t);
  connection.shutdown();
  await connection.close();
  t.match(await guest.next("ShutdownGraceful"), { body: { ContainerId: /^0{8}-/ } });
});

interface Ports {
  readonly StdIn: number;
  readonly StdOut: number;
  readonly StdErr: number;
}

function stdioPortsOf(body: object): Ports {
  return (body as { Settings: { VsockStdioRelaySettings: Ports } }).Settings.VsockStdioRelaySettings;
}
