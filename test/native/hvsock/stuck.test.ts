/** Programs that hang with the kernel's lock on what they share with a relay: nothing else may notice. */
import { closeSync, openSync, writeSync } from "node:fs";
import { test } from "tap";
import {
  closeFd,
  closeInBackground,
  duplicateFd,
  pidfdSendSignal,
  socketPair,
  startRelay,
} from "../../../native/hvsock/index.ts";
import { PipeRelay } from "../../../src/stdio/pipe-relay.ts";
import {
  countFds,
  countThreads,
  digestOf,
  eventually,
  exitOf,
  outputPipe,
  patiently,
  receiveAll,
  receiveText,
  shell,
  startRelayEngine,
  stuckWriter,
} from "./support.ts";

// Threads that come with the first use are there from now on.
await startRelayEngine();
await exitOf(await shell("true", [null, null, null]));

/** That relays are served: one that is made now carries a word to its end. */
async function carries(word: string): Promise<boolean> {
  const { source, processEnd } = outputPipe();
  const [host, sink] = socketPair();
  const relay = startRelay({ source, sink, shutdownSink: true });
  writeSync(processEnd, word);
  closeFd(processEnd);
  const text = await patiently("a word through another relay", receiveText(host));
  await relay.closed;
  return text === word;
}

test("a writer that hangs with its pipe locked holds up its own relay alone, which loses nothing", async (t) => {
  const threads = countThreads();
  const pipe = outputPipe();
  const holder = duplicateFd(pipe.processEnd);
  const stuck = await stuckWriter(t, "before", pipe);
  const [host, sink] = socketPair();
  const relay = startRelay({ source: stuck.source, sink, shutdownSink: true });
  const received = receiveAll(host);
  // Asked for while its thread is away, and done once it is back.
  const drained = relay.drain({ idleMs: 60_000, limitMs: 60_000 });
  t.ok(await carries("meanwhile"));
  t.equal(relay.hasEnded, false);
  stuck.release();
  t.same(await exitOf(stuck.child), { code: 0, signal: null });
  const again = await stuckWriter(t, "again", { source: -1, processEnd: duplicateFd(holder) });
  t.ok(await carries("meanwhile"));
  again.release();
  t.same(await exitOf(again.child), { code: 0, signal: null });
  writeSync(holder, "after");
  closeFd(holder);
  const zeros = Buffer.alloc(4096);
  const all = Buffer.concat([
    Buffer.from("before"),
    zeros,
    Buffer.from("again"),
    zeros,
    Buffer.from("after"),
  ]);
  t.same(await patiently("the rest", received), digestOf(all));
  t.match(await drained, { reason: "eof", bytes: all.length });
  await relay.closed;
  t.ok(await carries("afterwards"));
  await eventually("no thread but the two of the second engine more", () => countThreads() <= threads + 2);
});

test("several at once: each is told its end when it is cancelled, and closes when the kernel lets go", async (t) => {
  t.ok(await carries("before"));
  const [fds, threads] = [countFds(), countThreads()];
  const all = await Promise.all(
    [1, 2, 3].map(async () => {
      const { source, child } = await stuckWriter(t, "x");
      const [host, sink] = socketPair();
      const relay = startRelay({ source, sink, shutdownSink: true });
      return { child, host, relay };
    }),
  );
  t.ok(await carries("meanwhile"));
  for (const { relay } of all) {
    relay.cancel();
    t.match(await patiently("the end of one that hangs", relay.ended), { reason: "cancelled" });
  }
  for (const { child, host, relay } of all) {
    pidfdSendSignal(child.pidfd, 9);
    await patiently("its close", relay.closed);
    await exitOf(child);
    closeFd(host);
  }
  t.ok(await carries("afterwards"));
  // Each program's input and pidfd are the teardown's.
  t.equal(countFds(), fds + 2 * all.length);
  await eventually("their threads end", () => countThreads() <= threads);
});

test("the event loop closes no pipe that hangs, and a relay's close() has an end", async (t) => {
  const relay = new PipeRelay({ stdin: false, stdout: true, stderr: false });
  const processEnd = relay.childFds.stdout ?? -1;
  // Another open file of the same pipe: the child's own end is closed in the end by us, with its lock in others' hands.
  const again = openSync(`/proc/self/fd/${processEnd}`, "w");
  const own = duplicateFd(again);
  closeSync(again);
  const stuck = await stuckWriter(t, "x", { source: -1, processEnd: own });
  relay.closeChildFds();
  t.equal(await relay.close(1), false, "it does not wait for the kernel");
  stuck.release();
  // Its reader is gone by now.
  await exitOf(stuck.child);
  t.equal(await patiently("the close", relay.close()), true);
});

test("a descriptor that is none is not closed in the background", async (t) => {
  await t.rejects(closeInBackground(999_999), { code: "EBADF", syscall: "close" });
});
