import { once } from "node:events";
import { test } from "tap";
import { startGuest } from "./forwarder-process.ts";
import { hashAll, randomChunks, randomNumbers, readAll, sendAll } from "./stream-helpers.ts";

const DEADLINE = { timeoutMs: 20_000 };

test("ports asked for up front are there when the guest is let go; others come and go later", async (t) => {
  const guest = await startGuest(t, {
    beforeAttach: async (transport) => {
      await transport.listen(1);
    },
  });
  (await guest.dial(1)).destroy();
  await t.rejects(guest.dial(2), { code: "ENOENT" });
  const later = await guest.transport.listen(2);
  const socket = await guest.dial(2);
  const stream = await later.accept(DEADLINE);
  await later.close();
  await t.rejects(guest.dial(2), { code: "ENOENT" }, "nobody listens any more");
  socket.end("open streams live on");
  t.equal(String(await readAll(stream)), "open streams live on");
  stream.destroy();
  await t.rejects(guest.transport.listen(1), { code: "INVALID_ARGUMENT" });
  await (await guest.transport.listen(2)).close();
});

test("each side half-closes by itself", async (t) => {
  const guest = await startGuest(t);
  const listener = await guest.transport.listen(5);
  const socket = await guest.dial(5);
  const stream = await listener.accept(DEADLINE);

  socket.end("all the guest has to say");
  t.equal(String(await readAll(stream)), "all the guest has to say");
  stream.write("the host ");
  stream.end("goes on");
  t.equal(String(await readAll(socket)), "the host goes on");

  const other = await guest.dial(5);
  const otherStream = await listener.accept(DEADLINE);
  otherStream.end("host first");
  t.equal(String(await readAll(other)), "host first");
  other.end("then the guest");
  t.equal(String(await readAll(otherStream)), "then the guest");
});

test("what was sent before a close arrives, both ways", async (t) => {
  const guest = await startGuest(t);
  const listener = await guest.transport.listen(5);
  const big = Buffer.alloc(100_000, "x");

  const fromHost = await guest.dial(5);
  const hostStream = await listener.accept(DEADLINE);
  hostStream.end(big);
  await once(hostStream, "finish");
  hostStream.destroy();
  t.ok((await readAll(fromHost)).equals(big));
  fromHost.destroy();

  const fromGuest = await guest.dial(5);
  fromGuest.end(big);
  await once(fromGuest, "finish");
  fromGuest.destroy();
  const stream = await listener.accept(DEADLINE);
  t.ok((await readAll(stream)).equals(big));
  stream.destroy();
});

test("what a guest sent last arrives though its machine ends at that moment", async (t) => {
  const guest = await startGuest(t);
  const listener = await guest.transport.listen(5);
  const socket = await guest.dial(5);
  const stream = await listener.accept(DEADLINE);
  // The machine is gone then, and nobody has closed the other direction.
  stream.on("error", () => {});
  guest.process.kill("SIGSTOP");
  socket.end(Buffer.alloc(100_000, "x"));
  await once(socket, "finish");
  guest.process.kill("SIGTERM");
  guest.process.kill("SIGCONT");
  t.equal((await readAll(stream)).length, 100_000);
  t.equal(await guest.exited, 0);
  socket.destroy();
});

test("a reset on either side is one on the other", async (t) => {
  const guest = await startGuest(t);
  const listener = await guest.transport.listen(5);

  const abandoned = await guest.dial(5);
  const failing = await listener.accept(DEADLINE);
  const closed = once(abandoned, "close");
  abandoned.on("error", () => {});
  abandoned.resume().once("end", () => abandoned.end());
  failing.on("error", () => {});
  failing.destroy(new Error("the host gives up"));
  await closed;

  const leaving = await guest.dial(5);
  const stream = await listener.accept(DEADLINE);
  leaving.destroy();
  stream.resume();
  await once(stream, "end");
  const failed = once(stream, "error");
  stream.write("nobody is there");
  t.match((await failed)[0], { code: "TRANSPORT_CLOSED", message: /reset the stream \(EPIPE\)/ });
});

test("a reader that stalls holds up nobody but itself", async (t) => {
  const guest = await startGuest(t);
  const listener = await guest.transport.listen(5);
  const next = randomNumbers(1);
  const stalledSocket = await guest.dial(5);
  const stalledStream = await listener.accept(DEADLINE);
  const size = 4 << 20;
  const upHash = sendAll(stalledSocket, randomChunks(next, size, 50_000));
  const downHash = sendAll(stalledStream, randomChunks(next, size, 50_000));

  for (let round = 0; round < 3; round++) {
    const socket = await guest.dial(5);
    const stream = await listener.accept(DEADLINE);
    const sent = Promise.all([
      sendAll(socket, randomChunks(next, size, 50_000)),
      sendAll(stream, randomChunks(next, size, 50_000)),
    ]);
    const [up, down] = await Promise.all([hashAll(stream), hashAll(socket)]);
    t.same([up.sha256, down.sha256], await sent);
  }
  t.ok(stalledStream.writableLength > 0, "the stalled stream is still held back");

  const [up, down] = await Promise.all([hashAll(stalledStream), hashAll(stalledSocket)]);
  t.same(
    [up, down],
    [
      { bytes: size, sha256: await upHash },
      { bytes: size, sha256: await downHash },
    ],
  );
});

test("a hundred streams at once, in random chunks", async (t) => {
  const guest = await startGuest(t);
  const listener = await guest.transport.listen(5);
  const seed = Number(process.env.LCOW_TEST_SEED ?? Date.now() % 1_000_000);
  t.comment(`seed ${seed}`);
  const one = async (index: number) => {
    const next = randomNumbers(seed + index);
    const socket = await guest.dial(5);
    const stream = await listener.accept(DEADLINE);
    // Streams are accepted in the order of the dials, not of these lines: say which one it is.
    const most = 1 + next(70_000);
    const up = sendAll(socket, randomChunks(next, next(1 << 19), most));
    const down = sendAll(stream, randomChunks(next, next(1 << 19), most));
    return { up, down, read: hashAll(stream), readBelow: hashAll(socket) };
  };
  const runs = await Promise.all(Array.from({ length: 100 }, (_, index) => one(index)));
  const all = async (pick: (run: Awaited<ReturnType<typeof one>>) => Promise<string>) =>
    (await Promise.all(runs.map(pick))).sort();
  const sentUp = await all((run) => run.up);
  t.same(await all(async (run) => (await run.read).sha256), sentUp);
  const sentDown = await all((run) => run.down);
  t.same(await all(async (run) => (await run.readBelow).sha256), sentDown);
});

test("256 MiB each way arrive unchanged", async (t) => {
  const guest = await startGuest(t);
  const listener = await guest.transport.listen(5);
  const size = 256 << 20;
  for (const upwards of [true, false]) {
    const socket = await guest.dial(5);
    const stream = await listener.accept(DEADLINE);
    const [from, to] = upwards ? [socket, stream] : [stream, socket];
    const start = performance.now();
    const sent = sendAll(from, randomChunks(randomNumbers(7), size, 1 << 18));
    const got = await hashAll(to);
    t.same(got, { bytes: size, sha256: await sent });
    const seconds = (performance.now() - start) / 1000;
    t.comment(
      `${upwards ? "guest to host" : "host to guest"}: ${Math.round(256 / seconds)} MiB/s, hashed twice`,
    );
    to.end();
    from.destroy();
  }
});
