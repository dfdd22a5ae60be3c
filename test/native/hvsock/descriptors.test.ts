import { readFileSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import {
  closeFd,
  connectFd,
  duplicateFd,
  getWindowSize,
  listen,
  openPty,
  pipe,
  receiveFd,
  receiveFdOver,
  sendFd,
  setNonBlocking,
  setPipeSize,
  setWindowSize,
  shutdownSocket,
  socketPair,
  untilWritable,
} from "../../../native/hvsock/index.ts";
import { countFds, patiently, temporaryDirectory } from "./support.ts";

/** O_NONBLOCK and O_CLOEXEC as /proc shows them, in octal. */
function flagsOf(fd: number): { nonBlocking: boolean; closeOnExec: boolean } {
  const line = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8")
    .split("\n")
    .find((entry) => entry.startsWith("flags:"));
  const flags = Number.parseInt(line?.split(/\s+/)[1] ?? "", 8);
  return { nonBlocking: (flags & 0o4000) !== 0, closeOnExec: (flags & 0o2000000) !== 0 };
}

test("every fd made here is close-on-exec, and blocking unless asked", async (t) => {
  const before = countFds();
  const plain = pipe();
  const mixed = pipe({ readNonBlocking: true });
  const pair = socketPair();
  const pty = openPty();
  const copy = duplicateFd(plain.readFd);
  const blocking = [plain.readFd, plain.writeFd, mixed.writeFd, ...pair, pty.masterFd, pty.slaveFd, copy];
  for (const fd of blocking) t.same(flagsOf(fd), { nonBlocking: false, closeOnExec: true });
  t.same(flagsOf(mixed.readFd), { nonBlocking: true, closeOnExec: true });
  setNonBlocking(copy, true);
  t.ok(flagsOf(plain.readFd).nonBlocking, "duplicates share it");
  for (const fd of [...blocking, mixed.readFd]) closeFd(fd);
  t.equal(countFds(), before);
  t.throws(() => closeFd(copy), { code: "EBADF" });
});

test("a full pipe is waited for until it takes bytes, or its reader is gone", async (t) => {
  const before = countFds();
  const { readFd, writeFd } = pipe({ writeNonBlocking: true });
  const fill = () => {
    try {
      for (;;) writeSync(writeFd, Buffer.alloc(4096));
    } catch (error) {
      t.match(error, { code: "EAGAIN" });
    }
  };
  fill();
  // Such a wait does not keep the loop alive by itself.
  const awake = setTimeout(() => t.fail("nothing happened"), 30_000);
  let writable = false;
  const waiting = untilWritable(writeFd).then(() => {
    writable = true;
  });
  await new Promise(setImmediate);
  t.notOk(writable, "it is full");
  readSync(readFd, Buffer.alloc(65536));
  await waiting;
  fill();
  const last = untilWritable(writeFd);
  closeFd(readFd);
  await last;
  clearTimeout(awake);
  t.throws(() => writeSync(writeFd, "x"), { code: "EPIPE" });
  closeFd(writeFd);
  t.equal(countFds(), before);
});

test("a pipe grows as far as the kernel lets it", async (t) => {
  const { readFd, writeFd } = pipe();
  t.equal(setPipeSize(writeFd, 256 * 1024), 256 * 1024);
  writeSync(writeFd, Buffer.alloc(200_000));
  t.equal(setPipeSize(writeFd, 4096), 256 * 1024, "a full one cannot shrink, which is no error");
  closeFd(writeFd);
  closeFd(readFd);
  t.throws(() => setPipeSize(readFd, 4096), { code: "EBADF" });
});

test("a terminal has the size that it was given", async (t) => {
  const { masterFd, slaveFd } = openPty();
  await patiently("the size", setWindowSize(masterFd, 43, 132));
  t.same(getWindowSize(slaveFd), { rows: 43, columns: 132 });
  await t.rejects(setWindowSize(masterFd, 65536, 1), RangeError);
  await t.rejects(setWindowSize(masterFd, 1, -1), RangeError);
  const { readFd, writeFd } = pipe();
  t.throws(() => getWindowSize(readFd), { code: "ENOTTY" });
  for (const fd of [masterFd, slaveFd, readFd, writeFd]) closeFd(fd);
});

test("an fd arrives with its name, close-on-exec, and the path is removed", async (t) => {
  const before = countFds();
  const path = join(temporaryDirectory(t), "console.sock");
  const receiving = receiveFd(path, { timeoutMs: 30_000 });
  const socket = await connectFd({ path });
  const { readFd, writeFd } = pipe();
  sendFd(socket, readFd, "/dev/pts/7");
  closeFd(readFd);
  const received = await receiving;
  t.equal(received.name, "/dev/pts/7");
  t.ok(flagsOf(received.fd).closeOnExec);
  writeSync(writeFd, "through it");
  const bytes = Buffer.alloc(64);
  t.equal(bytes.toString("utf8", 0, readSync(received.fd, bytes)), "through it");
  for (const fd of [socket, writeFd, received.fd]) closeFd(fd);
  await t.rejects(connectFd({ path }), { code: "ENOENT" });
  t.equal(countFds(), before);
});

test("a message without an fd is an error, and so is silence", async (t) => {
  const before = countFds();
  const path = join(temporaryDirectory(t), "console.sock");
  const listener = listen({ path });
  const silent = receiveFd(listener, { timeoutMs: 20 });
  const quiet = await connectFd({ path });
  await t.rejects(silent, { code: "TIMEOUT" }, "connected, but nothing came");
  const waiting = receiveFd(listener, { timeoutMs: 30_000 });
  const talker = await connectFd({ path });
  writeSync(talker, "just words");
  await t.rejects(waiting, { code: "EPROTO" });
  listener.close();
  await t.rejects(receiveFd(path, { timeoutMs: 5 }), { code: "TIMEOUT" }, "nobody connects");
  closeFd(quiet);
  closeFd(talker);
  t.equal(countFds(), before, "nothing is left");
});

test("a peer that closes before it sends is an error", async (t) => {
  const [here, there] = socketPair();
  const waiting = receiveFdOver(here, { timeoutMs: 30_000 });
  shutdownSocket(there, "write");
  await t.rejects(waiting, { code: "EPROTO" });
  closeFd(here);
  closeFd(there);
});
