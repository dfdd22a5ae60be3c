import { execFile } from "node:child_process";
import { existsSync, readSync, renameSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import {
  closeFd,
  connect,
  duplicateFd,
  type Listener,
  listen,
  Socket,
  shutdownSocket,
  socketPair,
  vsockCid,
} from "../../../native/hvsock/index.ts";
import {
  bytesOf,
  countFds,
  digestOf,
  eventually,
  receiveAll,
  sendAll,
  temporaryDirectory,
} from "./support.ts";

test("a Unix listener has the mode asked for and removes its path", async (t) => {
  const path = join(temporaryDirectory(t), "socket");
  const listener = listen({ path }, { mode: 0o660 });
  t.equal(statSync(path).mode & 0o777, 0o660, "whatever the umask");
  const [client, server] = await Promise.all([connect({ path }), listener.accept()]);
  const text = Promise.withResolvers<string>();
  server.onData = (bytes) => text.resolve(bytes.toString());
  server.resume();
  t.equal(client.write(Buffer.from("hello")), true);
  t.equal(await text.promise, "hello");
  listener.close();
  listener.close();
  t.notOk(existsSync(path), "the path is gone");
  client.close();
  server.close();
  t.throws(() => client.write(Buffer.from("x")), { code: "TRANSPORT_CLOSED" });
});

test("a listener does not remove a path that has become another's", async (t) => {
  const path = join(temporaryDirectory(t), "socket");
  const first = listen({ path });
  t.throws(() => listen({ path }), { code: "EADDRINUSE" });
  renameSync(path, `${path}.old`);
  writeFileSync(path, "mine");
  first.close();
  t.ok(existsSync(path), "the file that took its place stays");
});

test("waits end at their deadline, by a signal, and by close", async (t) => {
  const path = join(temporaryDirectory(t), "socket");
  const before = countFds();
  const listener = listen({ path });
  await t.rejects(listener.accept({ timeoutMs: 5 }), {
    code: "TIMEOUT",
    message: /unix:.*took longer than 5 ms/,
  });
  await t.rejects(listener.accept({ signal: AbortSignal.abort() }), { code: "ABORTED" });
  const waiting = listener.accept();
  await t.rejects(listener.accept(), { code: "INVALID_STATE" });
  listener.close();
  await t.rejects(waiting, { code: "ABORTED" });
  await t.rejects(listener.accept(), { code: "TRANSPORT_CLOSED" });
  await t.rejects(connect({ path }), { code: "ENOENT", syscall: "connect" });
  await t.rejects(connect({ path: `/${"x".repeat(200)}` }), { code: "ENAMETOOLONG" });
  t.equal(countFds(), before, "no fd is left");
});

test("a full backlog holds a connect up until there is room, or its deadline", async (t) => {
  const path = join(temporaryDirectory(t), "socket");
  const listener = listen({ path }, { backlog: 1 });
  const clients = [await connect({ path }), await connect({ path })];
  await t.rejects(connect({ path }, { timeoutMs: 30 }), { code: "TIMEOUT", message: /backlog/ });
  const late = connect({ path }, { timeoutMs: 30_000 });
  (await listener.accept()).close();
  clients.push(await late);
  for (const client of clients) client.close();
  listener.close();
  t.pass("it got through once a place was free");
});

test("vsock: an address can be bound, and a dial that nobody answers is an error", async (t) => {
  let listener: Listener;
  try {
    listener = listen({ cid: vsockCid.any, port: 0xffffffff });
  } catch (error) {
    // A kernel without vsock: then a dial says the same.
    t.match(error, { code: "EAFNOSUPPORT", syscall: "socket" });
    await t.rejects(connect({ cid: vsockCid.host, port: 1 }), { code: "EAFNOSUPPORT" });
    return;
  }
  const { address } = listener;
  t.ok("port" in address && address.port !== 0xffffffff, "the kernel chose a port");
  t.throws(() => listen(address), { code: "EADDRINUSE" });
  listener.close();
  await t.rejects(connect({ cid: vsockCid.host, port: 0x7ffffff1 }, { timeoutMs: 500 }), Error);
  await t.rejects(connect({ cid: vsockCid.host, port: -1 }), RangeError);
});

test("64 MiB each way at once arrive as they were sent", async (t) => {
  const [left, right] = socketPair().map((fd) => new Socket(fd)) as [Socket, Socket];
  const [a, b] = [bytesOf(1 << 20, 1), bytesOf(1 << 20, 2)];
  // A second socket object reads: each direction of one fd has its own.
  const [fromLeft, fromRight] = await Promise.all([
    receiveAll(duplicateFd(right.fd)),
    receiveAll(duplicateFd(left.fd)),
    sendAll(left, a, 64),
    sendAll(right, b, 64),
  ]);
  t.same(fromLeft, digestOf(a, 64));
  t.same(fromRight, digestOf(b, 64));
  left.close();
  right.close();
});

test("small writes of one tick arrive in order, with large ones in between", async (t) => {
  const [fd, otherFd] = socketPair();
  const sender = new Socket(fd);
  const received = receiveAll(otherFd);
  const parts: Buffer[] = [];
  for (let i = 0; i < 5000; i++) {
    const part = bytesOf(i % 50 === 0 ? 40_000 : i % 97, i);
    parts.push(part);
    sender.write(part);
  }
  sender.end();
  t.same(await received, digestOf(Buffer.concat(parts)));
  sender.close();
});

test("a peer that does not read: write says so, nothing is lost, drain follows", async (t) => {
  const [fd, otherFd] = socketPair();
  const sender = new Socket(fd, { highWaterMark: 64 * 1024 });
  const block = bytesOf(32 * 1024, 3);
  let sent = 0;
  while (sender.write(block)) {
    sent++;
    await new Promise(setImmediate);
    if (sent > 10_000) throw new Error("a socket that nobody reads took everything");
  }
  sent++;
  const drained = new Promise<void>((resolve) => {
    sender.onDrain = resolve;
  });
  const received = receiveAll(otherFd);
  await drained;
  t.equal(sender.queuedBytes, 0);
  sender.end();
  t.same(await received, digestOf(block, sent));
  sender.close();
});

test("half-closes are seen on the other side and do not stop the other half", async (t) => {
  const [fd, otherFd] = socketPair();
  const here = new Socket(fd);
  const ended = new Promise<void>((resolve) => {
    here.onEnd = resolve;
  });
  here.resume();
  shutdownSocket(otherFd, "write");
  await ended;
  const received = receiveAll(otherFd);
  await here.writeAll(Buffer.from("still here"));
  here.end();
  t.same(await received, digestOf(Buffer.from("still here")));
  here.shutdown("read");
  here.close();
});

test("a peer that vanishes is an error with its code, told once, and never a signal", async (t) => {
  const [fd, otherFd] = socketPair();
  const here = new Socket(fd);
  const codes: (string | undefined)[] = [];
  here.onError = (error) => void codes.push(error.code);
  closeFd(otherFd);
  here.write(Buffer.from("x"));
  await t.rejects(here.flushed(), { code: "EPIPE" });
  t.same(codes, ["EPIPE"]);
  t.throws(() => here.write(Buffer.from("x")), { code: "TRANSPORT_CLOSED" });
  here.close();
});

test("a reset connection is an error, also while reading is paused", async (t) => {
  for (const reading of [true, false]) {
    const [fd, otherFd] = socketPair();
    const here = new Socket(fd);
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => {
      here.onError = resolve;
    });
    if (reading) here.resume();
    await here.writeAll(Buffer.from("never read"));
    // Closing with unread bytes resets a Unix stream.
    closeFd(otherFd);
    if (!reading) here.write(Buffer.from("y"));
    t.match((await failed).code, /ECONNRESET|EPIPE/, reading ? "reading" : "writing");
    here.close();
  }
});

test("pause stops the callbacks, release gives the fd away", async (t) => {
  const [fd, otherFd] = socketPair();
  const here = new Socket(fd);
  const there = new Socket(otherFd);
  let got = "";
  here.onData = (bytes) => {
    got += bytes;
    here.pause();
  };
  here.resume();
  await there.writeAll(Buffer.from("one"));
  await eventually("first bytes", () => got === "one");
  await there.writeAll(Buffer.from("two"));
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.equal(got, "one", "paused");
  here.resume();
  await eventually("second bytes", () => got === "onetwo");
  const released = here.release();
  t.equal(here.fd, -1);
  t.throws(() => here.release(), { code: "TRANSPORT_CLOSED" });
  there.end();
  t.same(await receiveAll(released), digestOf(Buffer.alloc(0)), "the new owner reads on");
  there.close();
});

test("an exception in a callback is the process's uncaught exception, not a crash", async (t) => {
  const script = `
    import { Socket, socketPair } from ${JSON.stringify(new URL("../../../native/hvsock/index.ts", import.meta.url).href)};
    const [a, b] = socketPair().map((fd) => new Socket(fd));
    process.on("uncaughtException", (error) => { console.log("caught", error.message); a.close(); b.close(); });
    a.onData = () => { throw new Error("from the callback"); };
    a.resume();
    b.write(Buffer.from("x"));`;
  const output = await new Promise((resolve) => {
    execFile(process.execPath, ["--input-type=module", "-e", script], (error, stdout) =>
      resolve([error, stdout]),
    );
  });
  t.same(output, [null, "caught from the callback\n"]);
});

test("a thousand connections leave no fd behind", async (t) => {
  const path = join(temporaryDirectory(t), "socket");
  const before = countFds();
  const listener = listen({ path });
  for (let i = 0; i < 1000; i++) {
    const [client, server] = await Promise.all([connect({ path }), listener.accept()]);
    client.write(Buffer.from("x"));
    client.end();
    await new Promise<void>((resolve) => {
      server.onEnd = resolve;
      server.resume();
    });
    server.close();
    client.close();
  }
  listener.close();
  t.equal(countFds(), before);
});

test("an owner that closes when a write fails, or when it drains, is called no more", async (t) => {
  const [mine, theirs] = socketPair();
  const socket = new Socket(mine);
  const heard: string[] = [];
  const ended = Promise.withResolvers<string | undefined>();
  socket.onData = (bytes) => heard.push(bytes.toString());
  socket.onError = ({ code }) => {
    socket.close();
    ended.resolve(code);
  };
  socket.resume();
  socket.write(Buffer.alloc(4 * 1024 * 1024));
  await new Promise((resolve) => setImmediate(resolve));
  t.ok(socket.queuedBytes > 0, "it waits for room");
  writeSync(theirs, "last words");
  closeFd(theirs);
  t.match(await ended.promise, /^E(PIPE|CONNRESET)$/);
  t.same(heard, ["last words"], "what had arrived before is read");

  const [own, other] = socketPair();
  const drained = new Socket(own, { highWaterMark: 1 });
  drained.onData = () => t.fail("it was closed");
  const closed = Promise.withResolvers<void>();
  drained.onDrain = () => {
    drained.close();
    closed.resolve();
  };
  drained.resume();
  drained.write(Buffer.alloc(300 * 1024));
  await new Promise((resolve) => setImmediate(resolve));
  t.ok(drained.queuedBytes > 0, "it waits for room");
  // Room to write and bytes to read are told by one event.
  readSync(other, Buffer.alloc(1024 * 1024));
  writeSync(other, "too late");
  await closed.promise;
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(drained.fd, -1);
  closeFd(other);
});
