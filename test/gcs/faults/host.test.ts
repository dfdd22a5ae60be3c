/** A host that vanishes at each message of a life, done to one agent; world.ts has what is checked after each. */
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import t, { type Test } from "tap";
import { encodeFrame } from "../../../src/protocol/frame.ts";
import { type MessageName, requestTypeOf } from "../../../src/protocol/messages.ts";
import { createBody, executeBody } from "../../helpers/gcs-requests.ts";
import { Stdio } from "../../soak/stdio.ts";
import { FaultWorld, ok, type Reply } from "./world.ts";

const world = await FaultWorld.start(t);
const { agent, host } = world;

/** Far above those that the raw host gives its requests. */
const FIRST_ID = 1_000_000_000n;
const NEGOTIATION = { ContainerId: "", MinimumVersion: 4, MaximumVersion: 4 };
const HEADER = 16;
const FOREVER = 0xffffffff;
const KILLED = 137;
const FIRST_PORT = 0x52000000;
/** How long another host is told that what is under way is not done yet. */
const TIDY_MS = 20_000;
const TIDY_STEP_MS = 20;

interface Message {
  readonly name: MessageName;
  readonly body: object;
}
/** Asks one thing, and goes on with the answer. */
type Ask = (message: Message) => Promise<Reply>;

/** Every message of a container's whole life, each of which is to succeed. */
async function live(id: string, ask: Ask): Promise<void> {
  const init = await Stdio.listen(host, FIRST_PORT, ["StdOut"]);
  const shell = await Stdio.listen(host, FIRST_PORT + 1, ["StdIn", "StdOut"]);
  try {
    await liveWith(id, ask, { init, shell });
  } finally {
    await init.close();
    await shell.close();
  }
}

async function liveWith(
  id: string,
  ask: Ask,
  { init, shell }: Record<"init" | "shell", Stdio>,
): Promise<void> {
  const container = { ContainerId: id };
  const args = ["/bin/sh", "-c", "echo begins; exec sleep 1000"];
  await ask({ name: "Create", body: createBody(id, world.bundle(id), { args }) });
  await ask({ name: "Start", body: container });
  const started = await ask({ name: "ExecuteProcess", body: executeBody(id, init.wanted, init.ports) });
  const process = {
    args: ["/bin/sh"],
    cwd: "/",
    env: ["PATH=/bin"],
    user: { uid: 0, gid: 0 },
    terminal: true,
  };
  const terminal = { OciProcess: process, EmulateConsole: true, ...shell.wanted };
  const executed = await ask({ name: "ExecuteProcess", body: executeBody(id, terminal, shell.ports) });
  const ofShell = { ...container, ProcessId: executed.ProcessId };
  await ask({ name: "ResizeConsole", body: { ...ofShell, Height: 30, Width: 100 } });
  await ask({ name: "GetProperties", body: { ...container, Query: '{"PropertyTypes":["Statistics"]}' } });
  const Settings = { Linux: { cpu: { shares: 512 } } };
  const Request = { ResourceType: "ContainerConstraints", RequestType: "Update", Settings };
  await ask({ name: "ModifySettings", body: { ...container, Request } });
  await ask({ name: "SignalProcess", body: { ...ofShell, Options: { Signal: 9 } } });
  const shellEnded = await ask({ name: "WaitForProcess", body: { ...ofShell, TimeoutInMs: FOREVER } });
  if (shellEnded.ExitCode !== KILLED) throw new Error(JSON.stringify(shellEnded));
  await ask({ name: "ShutdownForced", body: container });
  const wait = { ...container, ProcessId: started.ProcessId, TimeoutInMs: FOREVER };
  const ended = await ask({ name: "WaitForProcess", body: wait });
  if (ended.ExitCode !== KILLED) throw new Error(JSON.stringify(ended));
  const text = await init.text("StdOut");
  if (text !== "begins\n") throw new Error(`its output is ${JSON.stringify(text)}`);
  await world.exitOf(id);
  await ask({ name: "DeleteContainerState", body: container });
}

/** All of these bytes are with the kernel, and no reply to them is there yet, when the host goes. */
async function vanishAfter(bytes: Buffer): Promise<void> {
  const { bridge } = host;
  process.kill(agent.pid, "SIGSTOP");
  await new Promise((resolve) => bridge.write(bytes, resolve));
  const closed = once(bridge, "close");
  bridge.destroy();
  await closed;
  process.kill(agent.pid, "SIGCONT");
}

let nextId = FIRST_ID;

/** The same host: its ids go on. */
async function comeBack(): Promise<void> {
  await host.accept();
  const id = nextId++;
  host.send(requestTypeOf("NegotiateProtocol"), id, NEGOTIATION);
  await host.reply("NegotiateProtocol", id);
}

/** Asks; the connection breaks with only so much of the request sent, and the same host comes back and asks anew. */
function cutAt(bytesOf: (frame: Buffer) => number): Ask {
  return async ({ name, body }) => {
    const frame = encodeFrame(requestTypeOf(name), nextId++, JSON.stringify(body));
    await vanishAfter(frame.subarray(0, bytesOf(frame)));
    await comeBack();
    return ok(world.request(name, body));
  };
}

/** Asks; the connection breaks when all of the request is sent, and its reply comes over the next. */
const cutBehind: Ask = async ({ name, body }) => {
  const id = nextId++;
  await vanishAfter(encodeFrame(requestTypeOf(name), id, JSON.stringify(body)));
  await comeBack();
  return ok(host.reply(name, id).then((reply) => reply.body));
};

async function lifeWith(t: Test, ask: Ask): Promise<void> {
  await live("hit", ask);
  await world.checkUnharmed(t, "hit");
}

await t.test("the host vanishes before each message of a life", (t) =>
  lifeWith(
    t,
    cutAt(() => 0),
  ),
);

await t.test("the host vanishes inside each message of a life", async (t) => {
  await live(
    "hit",
    cutAt(() => HEADER / 2),
  );
  await lifeWith(
    t,
    cutAt((frame) => HEADER + Math.ceil((frame.length - HEADER) / 2)),
  );
});

await t.test("the host vanishes behind each message of a life", (t) => lifeWith(t, cutBehind));

/** The earlier one is gone for good: this one counts its messages anew, and ends what it finds. */
async function tidyAsAnotherHost(id: string): Promise<void> {
  await host.accept();
  let next = 0n;
  const ask = async (name: MessageName, body: object) => {
    const number = next++;
    host.send(requestTypeOf(name), number, body);
    return (await host.reply(name, number)).body;
  };
  await ok(ask("NegotiateProtocol", NEGOTIATION));
  const container = { ContainerId: id };
  for (const until = Date.now() + TIDY_MS; Date.now() < until; await delay(TIDY_STEP_MS)) {
    await ask("ShutdownForced", container);
    const { Result, ErrorMessage } = await ask("DeleteContainerState", container);
    if (Result === 0 || String(ErrorMessage).includes("does not exist")) return;
  }
  throw new Error(`${id} cannot be deleted`);
}

class Gone extends Error {}

await t.test("the host vanishes for good behind each message of a life, and another comes", async (t) => {
  for (let last = 0, isWhole = false; !isWhole; last++) {
    const id = `left-${last}`;
    let count = 0;
    const ask: Ask = async ({ name, body }) => {
      if (count++ < last) return ok(world.request(name, body));
      await vanishAfter(encodeFrame(requestTypeOf(name), nextId++, JSON.stringify(body)));
      await tidyAsAnotherHost(id);
      throw new Gone();
    };
    isWhole = await live(id, ask).then(
      () => true,
      (error: unknown) => {
        if (error instanceof Gone) return false;
        throw error;
      },
    );
    await world.checkNothingLeft(t);
  }
  await world.checkUnharmed(t, "hit");
});

await t.test("the host vanishes in its negotiation", async (t) => {
  const frame = encodeFrame(requestTypeOf("NegotiateProtocol"), nextId++, JSON.stringify(NEGOTIATION));
  for (const length of [0, HEADER / 2, HEADER + 4, frame.length]) {
    host.bridge.destroy();
    await host.accept();
    await vanishAfter(frame.subarray(0, length));
    await comeBack();
  }
  await world.checkUnharmed(t, "hit");
});
