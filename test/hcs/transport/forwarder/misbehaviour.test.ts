import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, statSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { type Duplex, duplexPair, type Readable } from "node:stream";
import { test } from "tap";
import {
  encodeFrame,
  encodeHeader,
  FrameType,
  PROTOCOL_VERSION,
} from "../../../../src/hcs/transport/forwarder/frame.ts";
import { ForwarderHostTransport } from "../../../../src/hcs/transport/forwarder-host-transport.ts";
import { compileProgram } from "../../../helpers/c-program.ts";
import { shortDirectory } from "../../short-directory.ts";
import { buildForwarder, FORWARDER, startGuest } from "./forwarder-process.ts";
import { readAll } from "./stream-helpers.ts";

const DEADLINE = { timeoutMs: 20_000 };
const hello = encodeFrame(FrameType.hello, PROTOCOL_VERSION, 65_536);

test("the forwarder refuses a host that breaks the protocol", async (t) => {
  const breaches: [string, Buffer[], RegExp][] = [
    ["no greeting", [encodeFrame(FrameType.listen, 5)], /first frame has type 2/],
    ["another version", [encodeFrame(FrameType.hello, 9, 1)], /version 9/],
    ["no window", [encodeFrame(FrameType.hello, PROTOCOL_VERSION, 0)], /window of 0/],
    ["two greetings", [hello, hello], /greeted twice/],
    ["an unknown frame", [hello, encodeFrame(77, 0)], /type 77/],
    ["a stream opened by the host", [hello, encodeFrame(FrameType.open, 1, 5)], /type 5/],
    ["a huge frame", [hello, encodeHeader(FrameType.data, 0, 0xffff)], /65535 bytes/],
  ];
  for (const [name, frames, words] of breaches) {
    const guest = await startGuest(t, { attach: false });
    guest.channel.on("error", () => {});
    guest.channel.write(Buffer.concat(frames));
    t.equal(await guest.exited, 1, name);
    t.match(guest.said(), words);
  }
});

test("the forwarder holds the host to its window", async (t) => {
  const guest = await startGuest(t, { attach: false });
  guest.channel.on("error", () => {});
  guest.channel.write(
    Buffer.concat([hello, encodeFrame(FrameType.listen, 5), encodeFrame(FrameType.ready, 0)]),
  );
  let heard = Buffer.alloc(0);
  guest.channel.on("data", (part: Buffer) => {
    heard = Buffer.concat([heard, part]);
  });
  const idle = await dialUntilThere(guest.dial);
  const opened = encodeFrame(FrameType.open, 0, 5);
  while (!heard.includes(opened)) await once(guest.channel, "data");
  t.equal(heard.readUInt16LE(0), FrameType.hello);
  const window = heard.readUInt32LE(8);
  // The socket of the guest takes some; beyond that and the window there is no room, and nobody reads.
  const frame = Buffer.concat([encodeHeader(FrameType.data, 0, 16_384), Buffer.alloc(16_384)]);
  for (let sent = 0; sent <= window + (4 << 20); sent += 16_384) guest.channel.write(frame);
  t.equal(await guest.exited, 1);
  t.match(guest.said(), /against its window/);
  idle.destroy();
});

test("at SIGTERM the forwarder stays until the host says that it has all, but not for ever", async (t) => {
  const greeting = Buffer.concat([hello, encodeFrame(FrameType.listen, 5), encodeFrame(FrameType.ready, 0)]);
  const bye = encodeFrame(FrameType.bye, 0);
  const data = Buffer.concat([encodeHeader(FrameType.data, 0, 10), Buffer.from("last words")]);
  for (const answers of [true, false]) {
    const guest = await startGuest(t, { attach: false });
    guest.channel.on("error", () => {});
    guest.channel.write(greeting);
    let heard = Buffer.alloc(0);
    const hears = Promise.withResolvers<void>();
    guest.channel.on("data", (part: Buffer) => {
      heard = Buffer.concat([heard, part]);
      if (heard.includes(bye)) hears.resolve();
    });
    const socket = await dialUntilThere(guest.dial);
    guest.process.kill("SIGTERM");
    // As a program does that is ended at the same moment.
    socket.end("last words");
    await Promise.race([hears.promise, guest.exited]);
    t.ok(heard.includes(data), "what the guest sent after the signal");
    t.ok(heard.indexOf(bye) > heard.indexOf(encodeFrame(FrameType.fin, 0)), "is all that comes");
    if (answers) guest.channel.write(bye);
    t.equal(await guest.exited, answers ? 0 : 1);
    t.match(guest.said(), answers ? /^$/ : /host did not take all/);
    socket.destroy();
  }
});

async function dialUntilThere(dial: (port: number) => Promise<Socket>): Promise<Socket> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await dial(5);
    } catch (error) {
      if (attempt > 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

test("when the host goes away every stream ends and so does the forwarder", async (t) => {
  const guest = await startGuest(t);
  const listener = await guest.transport.listen(5);
  const sockets = [await guest.dial(5), await guest.dial(5)];
  for (const _ of sockets) (await listener.accept(DEADLINE)).on("error", () => {});
  const ends = sockets.map((socket) => once(socket.on("error", () => {}).resume(), "end"));
  guest.channel.destroy();
  await Promise.all(ends);
  t.equal(await guest.exited, 0);
  t.match(guest.said(), /host has closed the channel/);
  for (const socket of sockets) socket.destroy();
});

test("when the guest dies, what arrived is still read, then streams and accepts fail with the reason", async (t) => {
  const guest = await startGuest(t);
  const listener = await guest.transport.listen(5);
  const socket = await guest.dial(5);
  const stream = await listener.accept(DEADLINE);
  socket.write("last words");
  await once(stream, "readable");
  const pending = t.rejects(listener.accept(), { code: "TRANSPORT_CLOSED" });
  guest.process.kill("SIGKILL");
  await pending;
  t.equal(String(stream.read()), "last words");
  t.match(await new Promise((resolve) => stream.once("error", resolve)), { code: "TRANSPORT_CLOSED" });
  await t.rejects(guest.transport.listen(6), { code: "TRANSPORT_CLOSED" });
  socket.on("error", () => {}).destroy();
});

test("a forwarder whose host never says READY gives up; without a channel it says so", async (t) => {
  const guest = await startGuest(t, { attach: false, arguments: ["--deadline", "1"] });
  t.equal(await guest.exited, 1);
  t.match(guest.said(), /did not say READY within 1 s/);
  const none = spawn(FORWARDER, ["--channel", "/proc/none/channel"], { stdio: ["ignore", "ignore", "pipe"] });
  const [text] = (await once(none.stderr, "data")) as [Buffer];
  t.match(String(text), /cannot open the channel \/proc\/none\/channel: No such file/);
});

test("it tells when the ports are there, and lives on until the host goes", async (t) => {
  buildForwarder();
  const directory = shortDirectory(t);
  const server = createServer().listen(join(directory, "channel"));
  const connected = once(server, "connection") as Promise<[Socket]>;
  const places = ["--channel", join(directory, "channel"), "--listen", join(directory, "new/port")];
  const child = spawn(FORWARDER, ["--ready-fd", "3", ...places], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  const ready = (child.stdio[3] as Readable).setEncoding("latin1");
  const [channel] = await connected;
  server.close();
  const transport = new ForwarderHostTransport();
  t.teardown(() => transport.close());
  const listener = await transport.listen(5);
  t.notOk(existsSync(join(directory, "new/port_5")), "not before the host says so");
  transport.attach(channel);
  t.same(await once(ready, "data"), ["\0"]);
  const socketMode = (path: string) => (statSync(join(directory, path)).mode & 0o777).toString(8);
  t.same([socketMode("new"), socketMode("new/port_5")], ["700", "600"], "for nobody but its user");
  const socket = connect(join(directory, "new/port_5"));
  const stream = (await listener.accept(DEADLINE)).on("error", () => {});
  socket.end("through the forwarder");
  t.equal(String((await once(stream, "data"))[0]), "through the forwarder");
  const gone = once(socket.resume(), "close");
  const exited = once(child, "exit");
  await transport.close();
  await gone;
  t.same(await exited, [0, null]);
});

test("a directory that others may enter is no place for its sockets", async (t) => {
  buildForwarder();
  const directory = shortDirectory(t);
  chmodSync(directory, 0o711);
  const child = spawn(FORWARDER, ["--channel", "/proc/none", "--listen", join(directory, "port")], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  t.match(String((await once(child.stderr, "data"))[0]), /must be a directory of user 0 with mode 0700/);
});

test("when something is short one stream is refused, the host told, and the rest lives on", async (t) => {
  for (const [what, words] of [
    ["descriptors", /too many open files/],
    ["watches", /no space left/],
  ] as const) {
    const guest = await startGuest(t, { before: [compileProgram("short-of"), what, "12"] });
    const listener = await guest.transport.listen(5);
    const first = await guest.dial(5);
    const stream = (await listener.accept(DEADLINE)).on("error", () => {});
    const sockets: Socket[] = [];
    const streams: Duplex[] = [];
    let refusal: unknown;
    while (refusal === undefined && sockets.length < 20) {
      sockets.push((await guest.dial(5)).on("error", () => {}));
      await listener.accept(DEADLINE).then(
        (accepted) => streams.push(accepted.on("error", () => {})),
        (error: unknown) => {
          refusal = error;
        },
      );
    }
    t.match(refusal, { code: "TRANSPORT_CLOSED", message: words }, what);
    const refused = sockets.at(-1) ?? first;
    if (!refused.readableEnded) await once(refused.resume(), "end");
    t.equal(guest.process.exitCode, null, "the forwarder lives");
    first.end("and so does the stream");
    t.equal(String(await readAll(stream)), "and so does the stream");
    for (const accepted of streams) accepted.destroy();
    (await guest.dial(5)).end("again");
    const again = (await listener.accept(DEADLINE)).on("error", () => {});
    t.equal(String(await readAll(again)), "again", "what was freed serves again");
    for (const socket of sockets) socket.destroy();
  }
});

test("a guest that gives no sign of life is lost; one that is known to be halted is not", async (t) => {
  const guest = await startGuest(t, { transport: { heartbeatMs: 20 } });
  const listener = await guest.transport.listen(5);
  guest.process.kill("SIGSTOP");
  guest.transport.suspendHeartbeat(true);
  await t.rejects(listener.accept({ timeoutMs: 500 }), { code: "TIMEOUT" }, "halted");
  guest.process.kill("SIGCONT");
  guest.transport.suspendHeartbeat(false);
  const socket = (await guest.dial(5)).on("error", () => {});
  const stream = await listener.accept(DEADLINE);
  await t.rejects(listener.accept({ timeoutMs: 500 }), { code: "TIMEOUT" }, "idle, but alive");
  const failed = once(stream, "error");
  guest.process.kill("SIGSTOP");
  t.match(await failed, [{ code: "TIMEOUT", message: /no sign of life/ }]);
  await t.rejects(listener.accept(), { code: "TIMEOUT" });
  guest.process.kill("SIGCONT");
  socket.destroy();
});

test("the host refuses a guest that breaks the protocol", async (t) => {
  const breaches: [string, Buffer][] = [
    ["no greeting", encodeFrame(FrameType.open, 1, 5)],
    ["another version", encodeFrame(FrameType.hello, 9, 1)],
    ["an unknown frame", Buffer.concat([hello, encodeFrame(99, 0)])],
    ["a frame without its number", Buffer.concat([hello, encodeFrame(FrameType.open, 1)])],
    ["an answer to nothing", Buffer.concat([hello, encodeFrame(FrameType.listen, 77, 0)])],
    [
      "a stream opened twice",
      Buffer.concat([hello, encodeFrame(FrameType.open, 1, 5), encodeFrame(FrameType.open, 1, 5)]),
    ],
    [
      "data for a stream that never was",
      Buffer.concat([hello, encodeHeader(FrameType.data, 7, 1), Buffer.alloc(1)]),
    ],
    ["the end of a stream that never was", Buffer.concat([hello, encodeFrame(FrameType.fin, 7)])],
    [
      "more streams than there are places",
      Buffer.concat([hello, encodeFrame(FrameType.open, 1, 5), encodeFrame(FrameType.open, 4097, 5)]),
    ],
    ["an odd length", Buffer.concat([hello, encodeHeader(FrameType.credit, 1, 3)])],
    ["an overrun window", overrun()],
  ];
  for (const [name, bytes] of breaches) {
    const [host, guest] = duplexPair() as [Duplex, Duplex];
    guest.on("error", () => {}).resume();
    const transport = new ForwarderHostTransport();
    const listener = await transport.listen(5);
    const drained = (async () => {
      for (;;) (await listener.accept()).on("error", () => {});
    })();
    transport.attach(host);
    guest.write(bytes);
    await t.rejects(drained, { code: "INVALID_FRAME" }, name);
    await t.rejects(transport.connected, { code: "INVALID_FRAME" });
  }
});

test("a guest that dials and resets in one breath, ahead of who accepts, ends no process of the host", async (t) => {
  const [host, guest] = duplexPair() as [Duplex, Duplex];
  guest.on("error", () => {}).resume();
  const transport = new ForwarderHostTransport();
  t.teardown(() => transport.close());
  const listener = await transport.listen(5);
  transport.attach(host);
  const accepted = listener.accept(DEADLINE);
  const answer = encodeFrame(FrameType.listen, 5, 0);
  guest.write(
    Buffer.concat([hello, answer, encodeFrame(FrameType.open, 1, 5), encodeFrame(FrameType.reset, 1, 104)]),
  );
  t.match((await accepted).errored, { code: "TRANSPORT_CLOSED", message: /has reset the stream/ });
});

function overrun(): Buffer {
  const data = Buffer.concat([encodeHeader(FrameType.data, 1, 32_000), Buffer.alloc(32_000)]);
  return Buffer.concat([hello, encodeFrame(FrameType.open, 1, 5), ...Array.from({ length: 12 }, () => data)]);
}
