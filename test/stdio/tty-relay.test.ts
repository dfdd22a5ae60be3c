import { writeSync } from "node:fs";
import { test } from "tap";
import {
  closeFd,
  duplicateFd,
  openPty,
  pidfdSendSignal,
  Socket,
  shutdownSocket,
  socketPair,
  spawn,
} from "../../native/hvsock/index.ts";
import { closeConnections } from "../../src/stdio/connection-set.ts";
import { SocketConnection } from "../../src/stdio/socket-connection.ts";
import { TtyRelay } from "../../src/stdio/tty-relay.ts";
import {
  countFds,
  digestOf,
  eventually,
  exitOf,
  receiveAll,
  receiveText,
  startRelayEngine,
} from "../native/hvsock/support.ts";
import { hostAndSet } from "./support.ts";

await startRelayEngine();

async function shellOnTerminal(slaveFd: number, script: string): ReturnType<typeof spawn> {
  const child = await spawn({
    path: "/bin/sh",
    args: ["sh", "-c", script],
    stdio: [slaveFd, slaveFd, slaveFd],
    newSession: true,
    controllingTerminal: true,
  });
  closeFd(slaveFd);
  return child;
}

test("keys go in, output comes out, the size is seen", async (t) => {
  const before = countFds();
  const { masterFd, slaveFd } = openPty();
  const { host, set } = hostAndSet("stdin", "stdout");
  const relay = new TtyRelay(masterFd);
  await relay.resize(33, 99);
  relay.start(set);
  const child = await shellOnTerminal(
    slaveFd,
    "stty size; stty -echo; echo ready; read line; echo got $line; exit 3",
  );
  const output = receiveText(host.stdout);
  writeSync(host.stdin, "words\n");
  t.same(await exitOf(child), { code: 3, signal: null });
  await relay.drain();
  t.match(await output, /^(words\r\n)?33 99\r\n(words\r\n)?ready\r\n(words\r\n)?got words\r\n$/);
  await relay.resize(1, 1);
  await relay.close();
  await relay.resize(1, 1);
  closeFd(host.stdin);
  t.equal(countFds(), before);
});

test("a new size is signalled to the program", async (t) => {
  const { masterFd, slaveFd } = openPty();
  const { host, set } = hostAndSet("stdin", "stdout");
  const relay = new TtyRelay(masterFd);
  relay.start(set);
  const script = 'trap "stty size; exit 0" WINCH; echo ready; while :; do sleep 0.05; done';
  const child = await shellOnTerminal(slaveFd, script);
  const socket = new Socket(host.stdout);
  let text = "";
  socket.onData = (bytes) => {
    if (text === "") void relay.resize(40, 120);
    text += bytes;
  };
  socket.resume();
  t.same((await exitOf(child)).code, 0);
  await relay.drain();
  await eventually("the size", () => text === "ready\r\n40 120\r\n");
  socket.close();
  closeFd(host.stdin);
  await relay.close();
});

test("^C reaches the program as a signal", async (t) => {
  const { masterFd, slaveFd } = openPty();
  const { host, set } = hostAndSet("stdin", "stdout");
  const relay = new TtyRelay(masterFd);
  relay.start(set);
  const child = await shellOnTerminal(slaveFd, "echo ready; exec sleep 1000");
  const socket = new Socket(host.stdout);
  const ready = new Promise<void>((resolve) => {
    socket.onData = () => resolve();
  });
  socket.resume();
  await ready;
  // exec comes a moment after the word; a ^C before it ends the shell by the same signal.
  writeSync(host.stdin, "\x03");
  t.same(await exitOf(child), { code: null, signal: 2 });
  await relay.drain();
  socket.close();
  closeFd(host.stdin);
  await relay.close();
});

test("the end of the host's stdin changes nothing for the program", async (t) => {
  const { masterFd, slaveFd } = openPty();
  const { host, set } = hostAndSet("stdin", "stdout");
  const relay = new TtyRelay(masterFd);
  relay.start(set);
  shutdownSocket(host.stdin, "write");
  const child = await shellOnTerminal(slaveFd, "read line; echo it ended");
  const output = receiveText(host.stdout);
  // Long enough for a ^D to do its harm.
  await new Promise((resolve) => setTimeout(resolve, 100));
  await relay.resize(10, 10);
  t.equal(pidfdSendSignal(child.pidfd, 0), true, "the program runs on");
  pidfdSendSignal(child.pidfd, 9);
  await exitOf(child);
  await relay.drain();
  t.equal(await output, "", "no ^D was typed");
  closeFd(host.stdin);
  await relay.close();
});

test("one connection carries both directions", async (t) => {
  const before = countFds();
  const { masterFd, slaveFd } = openPty();
  const [host, guest] = socketPair();
  const connection = new SocketConnection(guest);
  const relay = new TtyRelay(masterFd);
  relay.start({ stdin: connection, stdout: connection });
  const child = await shellOnTerminal(slaveFd, "stty -echo; read line; echo got $line");
  writeSync(host, "this\n");
  const output = receiveText(host);
  await exitOf(child);
  await relay.drain();
  t.match(await output, /got this\r\n$/);
  await relay.close();
  t.equal(countFds(), before);
});

test("one connection for both: after the exit the host's write ends, and the output still comes", async (t) => {
  const before = countFds();
  const { masterFd, slaveFd } = openPty();
  const [host, guest] = socketPair();
  const connection = new SocketConnection(guest);
  const relay = new TtyRelay(masterFd);
  relay.start({ stdin: connection, stdout: connection });
  await exitOf(await shellOnTerminal(slaveFd, "echo last words"));
  await relay.drain();
  t.throws(() => writeSync(host, "anyone?"), { code: "EPIPE" });
  t.equal(await receiveText(host), "last words\r\n");
  await relay.close();
  t.equal(countFds(), before);
});

test("a start after the exit: what was written comes, and the host's write ends", async (t) => {
  const before = countFds();
  const { masterFd, slaveFd } = openPty();
  const { host, set } = hostAndSet("stdin", "stdout");
  const relay = new TtyRelay(masterFd);
  // Somebody else keeps the terminal open.
  const keeper = duplicateFd(slaveFd);
  await exitOf(await shellOnTerminal(slaveFd, "echo last words"));
  await relay.drain();
  relay.start(set);
  t.equal(await receiveText(host.stdout), "last words\r\n");
  t.throws(() => writeSync(host.stdin, "anyone?"), { code: "EPIPE" });
  closeFd(keeper);
  closeFd(host.stdin);
  await relay.close();
  t.equal(countFds(), before);
});

test("8 MiB of output come whole, however late the host reads", async (t) => {
  const { masterFd, slaveFd } = openPty();
  const { host, set } = hostAndSet("stdout");
  const relay = new TtyRelay(masterFd);
  relay.start(set);
  const child = await shellOnTerminal(slaveFd, "stty raw; yes abcdefg | head -c 8M");
  await new Promise((resolve) => setTimeout(resolve, 100));
  const output = receiveAll(host.stdout);
  await exitOf(child);
  await relay.drain();
  t.same(await output, digestOf(Buffer.from("abcdefg\n"), 1 << 20));
  await relay.close();
});

test("a host that vanishes neither blocks nor ends the program", async (t) => {
  const { masterFd, slaveFd } = openPty();
  const { host, set } = hostAndSet("stdin", "stdout");
  const relay = new TtyRelay(masterFd);
  relay.start(set);
  const child = await shellOnTerminal(slaveFd, "sleep 0.05; seq 1 100000; exit 4");
  closeFd(host.stdin);
  closeFd(host.stdout);
  t.same(await exitOf(child), { code: 4, signal: null });
  await relay.drain();
  await relay.close();
});

test("a background child on the terminal does not hold up the drain", async (t) => {
  const { masterFd, slaveFd } = openPty();
  const { host, set } = hostAndSet("stdout");
  const relay = new TtyRelay(masterFd);
  relay.start(set);
  const script = "(trap '' HUP; exec sleep 1000) & sleep 0.1; echo $!";
  const child = await shellOnTerminal(slaveFd, script);
  const output = receiveText(host.stdout);
  await exitOf(child);
  await relay.drain();
  const pid = Number.parseInt(await output, 10);
  t.ok(pid > 0);
  process.kill(pid, "SIGKILL");
  await relay.close();
});

test("a thousand terminals leave no fd behind", async (t) => {
  const before = countFds();
  for (let i = 0; i < 1000; i++) {
    const { masterFd, slaveFd } = openPty();
    const { host, set } = hostAndSet("stdin", "stdout");
    const relay = new TtyRelay(masterFd);
    if (i % 10 !== 0) relay.start(set);
    writeSync(slaveFd, "x");
    closeFd(slaveFd);
    const [out] = await Promise.all([
      receiveText(host.stdout),
      relay.drain().then(() => (i % 10 === 0 ? closeConnections(set) : undefined)),
    ]);
    if (out !== (i % 10 === 0 ? "" : "x")) t.fail(`round ${i}: ${out}`);
    closeFd(host.stdin);
    await relay.close();
  }
  t.equal(countFds(), before);
});
