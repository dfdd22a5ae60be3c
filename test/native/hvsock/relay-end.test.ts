import { openSync, readSync, writeSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { test } from "tap";
import {
  closeFd,
  duplicateFd,
  openPty,
  pipe,
  Socket,
  shutdownSocket,
  socketPair,
  startRelay,
} from "../../../native/hvsock/index.ts";
import {
  channels,
  countFds,
  eventually,
  exitOf,
  fillUp,
  mebibyte,
  outputPipe,
  patiently,
  receiveAll,
  receiveText,
  shell,
  startRelayEngine,
} from "./support.ts";

await startRelayEngine();

test("a host that closes: the relay ends at once, though its source is silent", async (t) => {
  for (const source of ["pipe", "socket", "terminal"] as const) {
    const [host, sink] = socketPair();
    const pty = source === "terminal" ? openPty() : undefined;
    const [readFd, writeFd] = pty ? [pty.masterFd, pty.slaveFd] : channels[source as "pipe" | "socket"]();
    const relay = startRelay({ source: readFd, sink });
    closeFd(host);
    t.match(await relay.ended, { reason: "sink-error", code: /EPIPE|ECONNRESET/ }, source);
    closeFd(writeFd);
    await relay.closed;
  }
});

test("a host that has only ended its own side still gets the output", async (t) => {
  const out = outputPipe();
  const [host, sink] = socketPair();
  const relay = startRelay({ source: out.source, sink, shutdownSink: true });
  shutdownSocket(host, "write");
  await new Promise((resolve) => setTimeout(resolve, 20));
  writeSync(out.processEnd, "late");
  closeFd(out.processEnd);
  t.equal(await receiveText(host), "late");
  t.match(await relay.ended, { reason: "eof", bytes: 4 });
});

test("a writer whose host is gone neither blocks nor dies, if asked", async (t) => {
  const out = outputPipe();
  const [host, sink] = socketPair();
  const relay = startRelay({ source: out.source, sink, discardAfterSinkError: true });
  const writer = await shell("head -c 64M /dev/zero && echo done >&2", [null, out.processEnd, null]);
  closeFd(out.processEnd);
  const one = Buffer.alloc(1);
  readSync(host, one, 0, 1, null);
  closeFd(host);
  t.same(await exitOf(writer), { code: 0, signal: null }, "it wrote everything");
  t.match(await relay.ended, { reason: "sink-error", code: /EPIPE|ECONNRESET/, bytes: 64 * mebibyte });
});

test("a process that closes its stdin: the host's writes fail, and nothing else does", async (t) => {
  const { readFd, writeFd } = pipe();
  const [host, source] = socketPair();
  const relay = startRelay({ source, sink: writeFd, shutdownSource: true, lingerMs: 60_000 });
  closeFd(readFd);
  t.match(await relay.ended, { reason: "sink-error", code: "EPIPE" }, "though the host sends nothing");
  t.throws(() => writeSync(host, "x"), { code: "EPIPE" });
  let isClosed = false;
  void relay.closed.then(() => {
    isClosed = true;
  });
  // A relay that comes and goes has taken the engine past whatever this one had to hear of.
  await startRelayEngine();
  t.equal(isClosed, false, "the host has not closed");
  closeFd(host);
  await patiently("the relay's close after its peer's", relay.closed);
});

test("the source's reset is a source error, with everything before it handed over", async (t) => {
  const [host, source] = socketPair();
  const [result, sink] = socketPair();
  writeSync(source, "unread");
  const relay = startRelay({ source, sink, shutdownSink: true });
  writeSync(host, "before");
  // Closing with unread bytes resets a Unix stream.
  closeFd(host);
  t.equal(await receiveText(result), "before");
  t.same(await relay.ended, { bytes: 6, reason: "source-error", code: "ECONNRESET" });
});

test("drain: a background child that holds the output open does not hold up the end", async (t) => {
  const out = outputPipe();
  const [host, sink] = socketPair();
  const relay = startRelay({ source: out.source, sink, shutdownSink: true });
  const child = await shell("sleep 1000 & echo $!", [null, out.processEnd, null]);
  closeFd(out.processEnd);
  const text = receiveText(host);
  await exitOf(child);
  t.match(await relay.drain({ idleMs: 50 }), { reason: "drained" });
  process.kill(Number(await text), "SIGKILL");
});

test("drain: one that never falls silent is cut off, after what was there at the exit", async (t) => {
  const out = outputPipe();
  const [host, sink] = socketPair();
  const relay = startRelay({ source: out.source, sink, shutdownSink: true });
  const script = "(while echo chatter; do sleep 0.01; done) & echo $!";
  const child = await shell(script, [null, out.processEnd, null]);
  closeFd(out.processEnd);
  const text = receiveText(host);
  await exitOf(child);
  t.match(await relay.drain({ idleMs: 60, limitMs: 200 }), { reason: "drained" });
  t.match(await text, /^\d+$/m, "the exited process's own words are there");
  await eventually("the chatterer ended by the closed pipe", () => relay.hasEnded);
});

test("drain: no patience at all is an end at once, and no loop without end", async (t) => {
  const out = outputPipe();
  const [host, sink] = socketPair();
  const relay = startRelay({ source: out.source, sink, shutdownSink: true });
  writeSync(out.processEnd, "there already");
  t.match(await relay.drain({ idleMs: 0, limitMs: 0 }), { reason: "drained", bytes: 13 });
  t.equal(await receiveText(host), "there already");
  closeFd(out.processEnd);
});

test("drain: bytes that a slow host has not taken are never dropped", async (t) => {
  const out = outputPipe();
  const [host, sink] = socketPair();
  const relay = startRelay({ source: out.source, sink, shutdownSink: true });
  const holder = duplicateFd(out.processEnd);
  const total = await fillUp(out.processEnd);
  closeFd(out.processEnd);
  const ended = relay.drain({ idleMs: 10, limitMs: 20 });
  const first = await Promise.race([
    ended,
    new Promise((resolve) => setTimeout(resolve, 300, "still going")),
  ]);
  t.equal(first, "still going", "long past both limits");
  t.equal((await receiveAll(host)).length, total);
  t.match(await ended, { reason: "drained", bytes: total });
  closeFd(holder);
});

test("after the end the peer's close is awaited, but not for ever", async (t) => {
  const before = countFds();
  for (const hostCloses of [true, false]) {
    const out = outputPipe();
    const [host, sink] = socketPair();
    const lingerMs = hostCloses ? 60_000 : 100;
    const relay = startRelay({ source: out.source, sink, shutdownSink: true, lingerMs });
    closeFd(out.processEnd);
    t.match(await relay.ended, { reason: "eof", bytes: 0 });
    let isClosed = false;
    void relay.closed.then(() => {
      isClosed = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    if (hostCloses) t.equal(isClosed, false, "the host has not closed");
    if (hostCloses) closeFd(host);
    // What lingers does not keep the process alive; this test does.
    await eventually("closed", () => isClosed);
    if (!hostCloses) closeFd(host);
  }
  t.equal(countFds(), before);
});

test("stop during full flow frees everything at once", async (t) => {
  const before = countFds();
  const out = outputPipe();
  const [host, sink] = socketPair();
  const relay = startRelay({ source: out.source, sink });
  const writer = await shell("exec cat /dev/zero", [null, out.processEnd, null]);
  closeFd(out.processEnd);
  const reader = new Socket(host);
  let seen = 0;
  const flowing = new Promise<void>((resolve) => {
    reader.onData = (bytes) => {
      seen += bytes.length;
      if (seen > 8 * mebibyte) resolve();
    };
  });
  const ended = new Promise<void>((resolve) => {
    reader.onEnd = resolve;
  });
  reader.resume();
  await flowing;
  relay.cancel();
  relay.cancel();
  await relay.closed;
  t.match(await relay.ended, { reason: "cancelled" });
  await ended;
  reader.close();
  t.same(await exitOf(writer), { code: null, signal: 13 }, "the writer's pipe is closed");
  t.equal(countFds(), before);
});

test("a thousand relays leave no fd behind, whoever ends them", async (t) => {
  const before = countFds();
  for (let i = 0; i < 1000; i++) {
    const { readFd, writeFd } = pipe();
    const [host, sink] = socketPair();
    const relay = startRelay({ source: readFd, sink, shutdownSink: true, lingerMs: 60_000 });
    writeSync(writeFd, "x");
    if (i % 3 === 0) relay.cancel();
    closeFd(writeFd);
    closeFd(host);
    await relay.ended;
    relay.cancel();
    await relay.closed;
  }
  t.equal(countFds(), before);
});

test("fds that are none are refused without a leak", async (t) => {
  const before = countFds();
  const { readFd, writeFd } = pipe();
  t.throws(() => startRelay({ source: 999_999, sink: writeFd }), { code: "EBADF" });
  t.throws(() => closeFd(writeFd), { code: "EBADF" }, "it was owned, so it is closed");
  t.throws(() => startRelay({ source: -1, sink: "discard" }), RangeError);
  t.throws(() => startRelay({ source: readFd, sink: readFd }), { name: "TypeError", message: /duplicate/ });
  closeFd(readFd);
  t.equal(countFds(), before);
});

test("what a relay could not wait for is refused", async (t) => {
  const before = countFds();
  for (const path of ["/etc/passwd", "/dev/zero", "/"]) {
    const { readFd, writeFd } = pipe();
    t.throws(() => startRelay({ source: openSync(path, "r"), sink: writeFd }), { code: "EINVAL" }, path);
    closeFd(readFd);
  }
  t.equal(countFds(), before);
});

test("a worker that ends with relays and sockets open takes nothing down", async (t) => {
  const module = JSON.stringify(new URL("../../../native/hvsock/index.ts", import.meta.url).href);
  const source = `
    const { pipe, startRelay, socketPair, Socket, spawn } = await import(${module});
    const { readFd } = pipe();
    startRelay({ source: readFd, sink: "discard" });
    new Socket(socketPair()[0]).resume();
    spawn({ path: "/bin/true" });
    process.exit(3);`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
  const code = await new Promise((resolve) => worker.on("exit", resolve));
  t.equal(code, 3);
});
