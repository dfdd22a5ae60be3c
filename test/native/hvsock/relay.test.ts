import { readSync, writeSync } from "node:fs";
import { test } from "tap";
import {
  closeFd,
  duplicateFd,
  openPty,
  pipe,
  type Relay,
  Socket,
  shutdownSocket,
  socketPair,
  startRelay,
} from "../../../native/hvsock/index.ts";
import {
  bytesOf,
  channels,
  countFds,
  countThreads,
  digestOf,
  eventually,
  exitOf,
  fillUp,
  mebibyte,
  outputPipe,
  receiveAll,
  receiveText,
  sendAll,
  shell,
  startRelayEngine,
  statusKiB,
} from "./support.ts";

await startRelayEngine();

for (const from of ["pipe", "socket"] as const) {
  for (const to of ["pipe", "socket"] as const) {
    test(`96 MiB from ${from} to ${to} arrive as they were sent`, async (t) => {
      const before = countFds();
      const [source, input] = channels[from]();
      const [output, sink] = channels[to]();
      const block = bytesOf(3 * mebibyte + 17, 5);
      // Writers and readers are processes: a pipe cannot be a Socket here.
      const [blockReader, blockWriter] = socketPair();
      const writer = await shell("cat", [blockReader, input, null]);
      const [result, resultWriter] = socketPair();
      const reader = await shell("cat", [output, resultWriter, null]);
      for (const fd of [input, output, blockReader, resultWriter]) closeFd(fd);
      const relay = startRelay({ source, sink, shutdownSink: true });
      const feeder = new Socket(blockWriter);
      const [received] = await Promise.all([receiveAll(result), sendAll(feeder, block, 32)]);
      feeder.close();
      const expected = digestOf(block, 32);
      t.same(received, expected);
      t.same(await relay.ended, { bytes: expected.length, reason: "eof" });
      await relay.closed;
      t.equal(relay.bytes, expected.length);
      await exitOf(writer);
      await exitOf(reader);
      t.equal(countFds(), before);
    });
  }
}

test("a terminal's output comes whole, and its closing is the end", async (t) => {
  const { masterFd, slaveFd } = openPty();
  const [host, sink] = socketPair();
  const relay = startRelay({ source: masterFd, sink, shutdownSink: true });
  const child = await shell("stty raw; seq 1 200000", [slaveFd, slaveFd, null]);
  closeFd(slaveFd);
  const lines = Array.from({ length: 200_000 }, (_, i) => `${i + 1}\n`).join("");
  t.same(await receiveAll(host), digestOf(Buffer.from(lines)));
  t.match(await relay.ended, { reason: "eof", bytes: lines.length });
  await exitOf(child);
});

test("a terminal that is typed into faster than it is read loses nothing", async (t) => {
  const { masterFd, slaveFd } = openPty();
  const [host, source] = socketPair();
  const relay = startRelay({ source, sink: masterFd });
  const [result, resultWriter] = socketPair();
  const child = await shell("stty raw -echo; echo ready >&2; sleep 0.2; head -c 1000000", [
    slaveFd,
    resultWriter,
    resultWriter,
  ]);
  closeFd(resultWriter);
  closeFd(slaveFd);
  const output = new Socket(result);
  let length = 0;
  const parts: Buffer[] = [];
  const ended = new Promise<void>((resolve) => {
    output.onEnd = resolve;
  });
  const typist = new Socket(host);
  const typed = bytesOf(1_000_000, 9);
  output.onData = (bytes) => {
    // Typing starts once the terminal is raw.
    if (length === 0) typist.write(typed);
    length += bytes.length;
    parts.push(Buffer.from(bytes));
  };
  output.resume();
  await ended;
  t.same(digestOf(Buffer.concat(parts).subarray("ready\n".length)), digestOf(typed));
  await exitOf(child);
  relay.cancel();
  t.match(await relay.ended, { reason: "cancelled" });
  typist.close();
  output.close();
});

test("a host that does not read stops the writer, and takes neither memory nor other relays' time", async (t) => {
  const slow = outputPipe();
  const [slowHost, slowSink] = socketPair();
  const relay = startRelay({ source: slow.source, sink: slowSink, shutdownSink: true });
  const taken = await fillUp(slow.processEnd);
  t.ok(taken < 4 * mebibyte, `what the kernel's buffers hold: ${taken} bytes`);
  const resident = statusKiB("VmRSS");

  const fast = outputPipe();
  const [fastHost, fastSink] = socketPair();
  const fastRelay = startRelay({ source: fast.source, sink: fastSink, shutdownSink: true });
  const writer = await shell("head -c 256M /dev/zero", [null, fast.processEnd, null]);
  closeFd(fast.processEnd);
  const received = await receiveAll(fastHost);
  t.equal(received.length, 256 * mebibyte, "another relay is not held up");
  await exitOf(writer);
  t.match(await fastRelay.ended, { reason: "eof" });
  t.ok(statusKiB("VmRSS") - resident < 32 * 1024, "memory stays flat");

  closeFd(slow.processEnd);
  t.equal((await receiveAll(slowHost)).length, taken, "every byte is there once it is read");
  t.match(await relay.ended, { reason: "eof", bytes: taken });
});

test("a host that reads a byte at a time gets them all", async (t) => {
  const out = outputPipe();
  const [host, sink] = socketPair();
  const relay = startRelay({ source: out.source, sink, shutdownSink: true });
  const sent = bytesOf(3000, 8);
  writeSync(out.processEnd, sent);
  closeFd(out.processEnd);
  const one = Buffer.alloc(1);
  const got: number[] = [];
  while (readSync(host, one, 0, 1, null) === 1) got.push(one[0] ?? -1);
  t.same(Buffer.from(got), sent);
  await relay.ended;
  closeFd(host);
});

test("a discarding relay lets its source run", async (t) => {
  for (const from of ["pipe", "socket"] as const) {
    const [source, input] = channels[from]();
    const relay = startRelay({ source, sink: "discard" });
    const writer = await shell("head -c 32M /dev/zero", [null, input, null]);
    closeFd(input);
    t.same(await relay.ended, { bytes: 32 * mebibyte, reason: "eof" });
    await exitOf(writer);
  }
});

test("two relays share one socket and one terminal, each with its own duplicate", async (t) => {
  const before = countFds();
  const { masterFd, slaveFd } = openPty();
  const [host, connection] = socketPair();
  const input = startRelay({ source: duplicateFd(connection), sink: duplicateFd(masterFd) });
  const output = startRelay({ source: masterFd, sink: connection, shutdownSink: true });
  const child = await shell("stty -echo; read line; echo got $line", [slaveFd, slaveFd, slaveFd]);
  closeFd(slaveFd);
  writeSync(host, "something\n");
  shutdownSocket(host, "write");
  t.match(await input.ended, { reason: "eof" });
  t.match(await receiveText(host), /got something\r\n$/);
  t.match(await output.ended, { reason: "eof" });
  await exitOf(child);
  await Promise.all([input.closed, output.closed]);
  t.equal(countFds(), before);
});

test("a hundred idle relays take no thread each and next to no memory", async (t) => {
  const threads = countThreads();
  const resident = statusKiB("VmRSS");
  const open: { relay: Relay; fds: number[] }[] = [];
  for (let i = 0; i < 100; i++) {
    const { readFd, writeFd } = pipe();
    const [host, sink] = socketPair();
    open.push({ relay: startRelay({ source: readFd, sink }), fds: [writeFd, host] });
  }
  await eventually("all run", () => open.every(({ relay }) => relay.bytes === 0));
  t.equal(countThreads(), threads);
  t.ok(statusKiB("VmRSS") - resident < 2 * 1024, "under 2 MiB together");
  for (const { relay, fds } of open) {
    relay.cancel();
    for (const fd of fds) closeFd(fd);
  }
  await Promise.all(open.map(({ relay }) => relay.closed));
});
