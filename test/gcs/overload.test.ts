/** A host that asks and does not read, or asks for more than there is room for. */
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import t, { type Test } from "tap";
import { encodeFrame } from "../../src/protocol/frame.ts";
import { requestTypeOf } from "../../src/protocol/messages.ts";
import { privateMemory } from "../helpers/agent.ts";
import { execParameters, executeBody, runSleeper, UVM } from "../helpers/gcs-requests.ts";
import { type Guest, startGuest } from "../helpers/guest.ts";
import type { RawHost } from "../helpers/raw-host.ts";

const MIB = 1024 * 1024;
const MOST_REQUESTS = 50_000;
const FIRST_ID = 100_000n;

async function negotiatedGuest(t: Pick<Test, "teardown">): Promise<Guest> {
  const guest = await startGuest(t, ["--loglevel", "error"]);
  await guest.host.negotiate();
  return guest;
}

/** Asks for what there is not, without reading an answer, until the agent takes no more. @returns how often */
async function ask(host: RawHost): Promise<number> {
  host.bridge.pause();
  const body = JSON.stringify({ ContainerId: "none", ProcessId: 1, Options: { Signal: 9 } });
  for (let asked = 0; asked < MOST_REQUESTS; ) {
    const frames = Array.from({ length: 500 }, () =>
      encodeFrame(requestTypeOf("SignalProcess"), FIRST_ID + BigInt(asked++), body),
    );
    const { promise: taken, resolve } = Promise.withResolvers<string>();
    host.bridge.write(Buffer.concat(frames), () => resolve("taken"));
    if ((await Promise.race([taken, delay(2000, "not taken")])) === "not taken") return asked;
  }
  return MOST_REQUESTS;
}

await t.test(
  "replies that nobody reads: the agent stops reading, in bounded memory, and loses none",
  {
    timeout: 120_000,
  },
  async (t) => {
    const { agent, host } = await negotiatedGuest(t);
    const before = privateMemory(agent.pid);
    const asked = await ask(host);
    t.ok(asked < MOST_REQUESTS, `it stopped at ${asked} requests`);
    const grown = privateMemory(agent.pid) - before;
    t.ok(grown < 32 * MIB, `${(grown / MIB).toFixed(1)} MiB more`);
    host.bridge.resume();
    await host.take(({ id }) => id === FIRST_ID + BigInt(asked - 1), "the last reply");
    const ids = host.received.map(({ id }) => id).filter((id) => id >= FIRST_ID);
    t.equal(new Set(ids).size, asked);
    t.equal(ids.length, asked, "none twice");
  },
);

await t.test(
  "a bridge that breaks with replies unread: the exit notification is for the next host",
  {
    timeout: 120_000,
  },
  async (t) => {
    const { agent, host } = await negotiatedGuest(t);
    const pid = await runSleeper(host, "c1", `${agent.directory}/c/c1`);
    await ask(host);
    process.kill(pid, "SIGKILL");
    await delay(500);
    host.bridge.destroy();
    await host.accept();
    const { type, id } = { type: requestTypeOf("NegotiateProtocol"), id: 0n };
    host.send(type, id, { ContainerId: "", MinimumVersion: 4, MaximumVersion: 4 });
    t.equal((await host.reply("NegotiateProtocol", id)).body.Result, 0, "it counts anew");
    const exit = await host.take(({ body }) => body.Type !== undefined, "the exit notification");
    t.match(exit.body, { ContainerId: "c1", Type: "UnexpectedExit" });
    t.equal(
      host.received.filter((frame) => frame.id >= FIRST_ID).length,
      0,
      "and no answer to another's question",
    );
  },
);

await t.test("a property that is asked for 50 000 times in one request is told once", async (t) => {
  const { agent, host } = await negotiatedGuest(t);
  await runSleeper(host, "c1", `${agent.directory}/c/c1`);
  const PropertyTypes = Array.from({ length: 50_000 }, () => "Statistics");
  const asked = host.request("GetProperties", {
    ContainerId: "c1",
    Query: JSON.stringify({ PropertyTypes }),
  });
  const other = host.request("GetProperties", {
    ContainerId: "c1",
    Query: '{"PropertyTypes":["ProcessList"]}',
  });
  for (const reply of await Promise.all([asked, other])) t.match(reply, { Result: 0 });
});

await t.test("a request of 20 MiB is refused, and the bridge and its containers stay", async (t) => {
  const { agent, host } = await negotiatedGuest(t);
  const pid = await runSleeper(host, "c1", `${agent.directory}/c/c1`);
  const before = privateMemory(agent.pid);
  const header = Buffer.alloc(16);
  header.writeUInt32LE(requestTypeOf("ModifySettings"), 0);
  header.writeUInt32LE(20 * MIB, 4);
  header.writeBigUInt64LE(77n, 8);
  host.bridge.write(header);
  for (let left = 20 * MIB - header.length; left > 0; left -= Math.min(left, MIB))
    host.bridge.write(Buffer.alloc(Math.min(left, MIB), " "));
  const { body } = await host.reply("ModifySettings", 77n);
  t.match(body, { Result: 0x80070057 | 0 });
  t.match(
    JSON.stringify(body),
    `a request of ${20 * MIB} bytes is refused: this guest takes ${4 * MIB} at most`,
  );
  const list = await host.request("GetProperties", {
    ContainerId: "c1",
    Query: '{"PropertyTypes":["ProcessList"]}',
  });
  t.equal(list.Properties, JSON.stringify({ ProcessList: [{ ProcessId: pid }] }));
  t.ok(privateMemory(agent.pid) - before < 8 * MIB, "it was not kept");
});

await t.test(
  "a limit of open files: each start says so and leaves nothing, and ends are still told",
  async (t) => {
    const { agent, host } = await negotiatedGuest(t);
    await runSleeper(host, "c1", `${agent.directory}/c/c1`);
    const openFds = () => new Set(readdirSync(`/proc/${agent.pid}/fd`).map(Number));
    const limitTo = (count: number) =>
      execFileSync("prlimit", ["--pid", `${agent.pid}`, `--nofile=${count}:`]);
    /** So many can be opened, and no more. */
    const leave = (free: number) => {
      const open = openFds();
      let limit = 0;
      for (let found = 0; found < free || open.has(limit); limit++) if (!open.has(limit)) found++;
      limitTo(limit);
    };
    const noLimit = () => limitTo(1000);
    const end = (ContainerId: string, ProcessId: unknown) =>
      host.request("WaitForProcess", { ContainerId, ProcessId, TimeoutInMs: 0xffffffff });

    const ports = { StdIn: 0x40003001, StdOut: 0x40003002, StdErr: 0x40003003 };
    for (const port of Object.values(ports))
      await host.listen(port, (stream) => stream.resume().once("end", () => stream.end()));
    const pipes = { CreateStdInPipe: true, CreateStdOutPipe: true, CreateStdErrPipe: true };
    const terminal = { CreateStdInPipe: true, CreateStdOutPipe: true, EmulateConsole: true };
    const { OciProcess } = execParameters(["/bin/true"]);
    const onTerminal = { OciProcess: { ...(OciProcess as object), terminal: true } };
    const starts: Record<string, [string, Record<string, unknown>]> = {
      exec: ["c1", execParameters(["/bin/true"], pipes)],
      "exec with a terminal": ["c1", { ...onTerminal, ...terminal }],
      "outside containers": [UVM, { CommandArgs: ["/bin/true"], ...pipes }],
      "outside containers with a terminal": [UVM, { CommandArgs: ["/bin/true"], ...terminal }],
    };
    const before = openFds().size;
    for (const [name, [id, parameters]] of Object.entries(starts)) {
      const failures: unknown[] = [];
      for (let free = 0; ; free++) {
        leave(free);
        const started = await host.request("ExecuteProcess", executeBody(id, parameters, ports));
        noLimit();
        if (started.Result === 0) {
          t.match(await end(id, started.ProcessId), { Result: 0, ExitCode: 0 });
          break;
        }
        failures.push(started.ErrorMessage);
      }
      t.ok(failures.length > 5, `${name}: ${failures.length} ways to fail`);
      t.same(
        failures.filter((message) => !/too many open files/i.test(`${message}`)),
        [],
      );
      // The last one's streams are free once this host has closed them, too.
      for (let waited = 0; openFds().size > before && waited < 10_000; waited += 20) await delay(20);
      t.equal(openFds().size, before, `${name}: no descriptor is left`);
    }

    const sleeper = await host.request(
      "ExecuteProcess",
      executeBody(UVM, { CommandArgs: ["/bin/sleep", "1000"] }),
    );
    leave(0);
    const kill = { ContainerId: UVM, ProcessId: sleeper.ProcessId, Options: { Signal: 9 } };
    t.match(await host.request("SignalProcess", kill), { Result: 0 });
    t.match(await end(UVM, sleeper.ProcessId), { Result: 0, ExitCode: 137 });
    noLimit();
    t.equal(await agent.stop(), 0, "it ends when it is told to, and not of a defect");
  },
);

await t.test(
  "waits without number: as many as there is room for, and the rest is refused",
  { timeout: 120_000 },
  async (t) => {
    const { agent, host } = await negotiatedGuest(t);
    const pid = await runSleeper(host, "c1", `${agent.directory}/c/c1`);
    const before = privateMemory(agent.pid);
    const asked = 17_000;
    const body = JSON.stringify({ ContainerId: "c1", ProcessId: pid, TimeoutInMs: 0xffffffff });
    const frames = Array.from({ length: asked }, (_, index) =>
      encodeFrame(requestTypeOf("WaitForProcess"), FIRST_ID + BigInt(index), body),
    );
    host.bridge.write(Buffer.concat(frames));
    const refused = await host.reply("WaitForProcess", FIRST_ID + BigInt(asked - 1));
    t.equal(Number(refused.body.Result) >>> 0, 0x80370105);
    t.match(refused.body.ErrorMessage, /16384 requests are at work/);
    t.match(
      await host.request("SignalProcess", { ContainerId: "c1", ProcessId: pid }),
      { Result: 0 },
      "what ends them is taken",
    );
    await host.take(({ body }) => body.Type !== undefined, "the exit notification");
    const answered = host.received.filter(({ body }) => body.ExitCode === 137);
    t.equal(answered.length, 16_384, "each that was taken is answered");
    const grown = privateMemory(agent.pid) - before;
    t.ok(grown < 64 * MIB, `${(grown / MIB).toFixed(1)} MiB more`);
  },
);
