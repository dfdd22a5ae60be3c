import { readFileSync, writeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { test } from "tap";
import { closeFd, pidfdOpen, pidfdSendSignal, Socket, shutdownSocket } from "../../native/hvsock/index.ts";
import { hostCloseMs } from "../../src/stdio/drain.ts";
import { PipeRelay } from "../../src/stdio/pipe-relay.ts";
import {
  bytesOf,
  countFds,
  digestOf,
  eventually,
  exitOf,
  mebibyte,
  receiveAll,
  receiveText,
  sendAll,
  startRelayEngine,
} from "../native/hvsock/support.ts";
import { hostAndSet, shellOn } from "./support.ts";

await startRelayEngine();

test("what the host sends comes back through a process, every byte of 64 MiB", async (t) => {
  const before = countFds();
  const { host, set } = hostAndSet("stdin", "stdout", "stderr");
  const relay = new PipeRelay();
  relay.start(set);
  const child = await shellOn(relay, "cat; echo that was all >&2");
  const block = bytesOf(1 << 20, 11);
  const stdin = new Socket(host.stdin);
  const [out, err] = await Promise.all([
    receiveAll(host.stdout),
    receiveText(host.stderr),
    sendAll(stdin, block, 64),
    exitOf(child).then(() => relay.drain()),
  ]);
  t.same(out, digestOf(block, 64));
  t.equal(err, "that was all\n");
  stdin.close();
  await relay.close();
  t.equal(countFds(), before);
});

test("all output is handed over before drain settles, though nobody reads it yet", async (t) => {
  const { host, set } = hostAndSet("stdout");
  const relay = new PipeRelay({ stdin: false, stdout: true, stderr: false });
  t.same(Object.keys(relay.childFds), ["stdout"], "the others are /dev/null");
  relay.start(set);
  await exitOf(await shellOn(relay, "echo last words"));
  await relay.drain();
  t.equal(await receiveText(host.stdout), "last words\n");
  await relay.close();
});

test("without connections stdin is at its end and output is discarded", async (t) => {
  const relay = new PipeRelay();
  relay.start({});
  const child = await shellOn(relay, "cat && head -c 8M /dev/zero && head -c 8M /dev/zero >&2");
  t.same(await exitOf(child), { code: 0, signal: null });
  await relay.drain();
  await relay.close();
});

test("connections may be named after the pipes were given away, and once", async (t) => {
  const before = countFds();
  const relay = new PipeRelay();
  const child = await shellOn(relay, "echo early; cat");
  const first = hostAndSet("stdin", "stdout");
  relay.start(first.set);
  for (const which of ["second", "third"]) {
    const late = hostAndSet("stdout");
    t.throws(() => relay.start(late.set), { code: "INVALID_STATE" });
    t.equal(await receiveText(late.host.stdout), "", `a ${which} set is refused and closed`);
  }
  shutdownSocket(first.host.stdin, "write");
  t.equal((await exitOf(child)).code, 0);
  await relay.drain();
  t.equal(await receiveText(first.host.stdout), "early\n");
  closeFd(first.host.stdin);
  await relay.close();
  t.equal(countFds(), before);
});

test("a process that closes its stdin goes on, and the host's writes fail", async (t) => {
  const { host, set } = hostAndSet("stdin", "stdout");
  const relay = new PipeRelay();
  relay.start(set);
  const child = await shellOn(
    relay,
    "exec <&-; echo closed; while ! [ -e /proc/self/fd/0 ]; do exit 5; done",
  );
  const stdin = new Socket(host.stdin);
  const failed = new Promise<NodeJS.ErrnoException>((resolve) => {
    stdin.onError = resolve;
  });
  await eventually("the host's writes fail", () => {
    if (stdin.queuedBytes === 0) {
      try {
        stdin.write(Buffer.from("anyone?"));
      } catch {
        return true;
      }
    }
    return false;
  });
  t.match((await failed).code, /EPIPE|ECONNRESET/);
  stdin.close();
  t.equal((await exitOf(child)).code, 5);
  await relay.drain();
  t.equal(await receiveText(host.stdout), "closed\n");
  await relay.close();
});

test("a full stdin that the process closes: the host's write ends while the process goes on", async (t) => {
  const { host, set } = hostAndSet("stdin", "stdout");
  const relay = new PipeRelay();
  relay.start(set);
  const child = await shellOn(relay, "trap 'exec <&-' USR1; echo ready; while :; do sleep 0.05; done");
  const stdin = new Socket(host.stdin);
  const failed = new Promise<string>((resolve) => {
    stdin.onError = () => resolve("the host's write ended");
  });
  const stdout = new Socket(host.stdout);
  await new Promise<void>((resolve) => {
    stdout.onData = () => resolve();
    stdout.resume();
  });
  const full = 32 * mebibyte;
  stdin.write(Buffer.alloc(full));
  await eventually("bytes are on their way", () => stdin.queuedBytes < full);
  pidfdSendSignal(child.pidfd, 10);
  // Not only once the guest has waited in vain for the host's close.
  const late = delay(hostCloseMs - 500, "it hung", { ref: false });
  t.equal(await Promise.race([failed, late]), "the host's write ended");
  t.equal(pidfdSendSignal(child.pidfd, 9), true, "the process is still there");
  await exitOf(child);
  await relay.drain();
  stdin.close();
  stdout.close();
  await relay.close();
});

test("a start after the exit: what was written comes, and the host's write ends", async (t) => {
  const before = countFds();
  const { host, set } = hostAndSet("stdin", "stdout");
  const relay = new PipeRelay();
  // Its child keeps both pipes open.
  const child = await shellOn(relay, "sleep 1000 <&0 & echo $!");
  await exitOf(child);
  await relay.drain();
  relay.start(set);
  const background = Number(await receiveText(host.stdout));
  t.ok(background > 0);
  t.throws(() => writeSync(host.stdin, "anyone?"), { code: "EPIPE" });
  process.kill(background, "SIGKILL");
  closeFd(host.stdin);
  await relay.close();
  t.equal(countFds(), before);
});

test("a host that vanishes neither kills nor blocks the process", async (t) => {
  const { host, set } = hostAndSet("stdin", "stdout", "stderr");
  const relay = new PipeRelay();
  relay.start(set);
  const child = await shellOn(relay, "cat; head -c 16M /dev/zero && head -c 16M /dev/zero >&2");
  for (const fd of Object.values(host)) closeFd(fd);
  t.same(await exitOf(child), { code: 0, signal: null });
  await relay.drain();
  await relay.close();
});

test("a background child that keeps the output open does not hold up the drain", async (t) => {
  const before = countFds();
  const { host, set } = hostAndSet("stdout", "stderr");
  const relay = new PipeRelay();
  relay.start(set);
  const child = await shellOn(relay, "sleep 1000 & echo $!");
  const output = receiveText(host.stdout);
  await exitOf(child);
  await relay.drain();
  const background = pidfdOpen(Number(await output));
  t.ok(pidfdSendSignal(background, 0), "it is still there");
  pidfdSendSignal(background, 9);
  closeFd(background);
  closeFd(host.stderr);
  await relay.close();
  t.equal(countFds(), before);
});

test("a host that reads nothing: the writer is blocked, the exit is not held up for ever, no byte is lost", async (t) => {
  const before = countFds();
  const { host, set } = hostAndSet("stdout");
  const relay = new PipeRelay({ stdin: false, stdout: true, stderr: false });
  relay.start(set);
  // A child of the shell fills everything and blocks; the shell itself exits with the pipe full.
  const child = await shellOn(relay, "head -c 64M /dev/zero & sleep 0.5; echo $! >&2; exit 0");
  await exitOf(child);
  await relay.drain();
  t.equal((await receiveAll(host.stdout)).length, 64 << 20, "the relay went on after the stall");
  await relay.close();
  t.equal(countFds(), before);
});

test("close during full flow frees every fd; closing twice is no error", async (t) => {
  const before = countFds();
  const { host, set } = hostAndSet("stdin", "stdout", "stderr");
  const relay = new PipeRelay();
  relay.start(set);
  const child = await shellOn(relay, "cat /dev/zero >&2 & exec cat /dev/zero");
  const reader = new Socket(host.stdout);
  await new Promise<void>((resolve) => {
    let seen = 0;
    reader.onData = (bytes) => {
      seen += bytes.length;
      if (seen > 1 << 22) resolve();
    };
    reader.resume();
  });
  const draining = relay.drain();
  await Promise.all([relay.close(), relay.close()]);
  await draining;
  t.same(await exitOf(child), { code: null, signal: 13 }, "its pipe broke");
  reader.close();
  closeFd(host.stdin);
  closeFd(host.stderr);
  await relay.close();
  t.equal(countFds(), before);
});

test("a relay that never started is closed, and closes the connections it gets after that", async (t) => {
  const before = countFds();
  const { host, set } = hostAndSet("stdin", "stdout", "stderr");
  const relay = new PipeRelay();
  await relay.drain();
  await relay.close();
  t.throws(() => relay.start(set), { code: "INVALID_STATE" });
  t.equal(await receiveText(host.stdout), "");
  closeFd(host.stdin);
  closeFd(host.stderr);
  t.equal(countFds(), before);
});

test("the process's own ends are blocking and of the size that splice likes", async (t) => {
  const relay = new PipeRelay();
  relay.start({});
  for (const fd of Object.values(relay.childFds)) {
    const flags = readFileSync(`/proc/self/fdinfo/${fd}`, "utf8").match(/^flags:\s+(\d+)/m)?.[1] ?? "";
    t.equal(Number.parseInt(flags, 8) & 0o4000, 0, "O_NONBLOCK is off");
  }
  t.equal(writeSync(relay.childFds.stdout ?? -1, Buffer.alloc(1 << 20)), 1 << 20);
  await relay.close();
});

test("a thousand relays leave no fd behind", async (t) => {
  const before = countFds();
  for (let i = 0; i < 1000; i++) {
    const { host, set } = hostAndSet("stdin", "stdout", "stderr");
    const relay = new PipeRelay();
    relay.start(set);
    writeSync(relay.childFds.stdout ?? -1, "x");
    relay.closeChildFds();
    const [out] = await Promise.all([receiveText(host.stdout), receiveText(host.stderr), relay.drain()]);
    if (out !== "x") t.fail(`round ${i}: ${out}`);
    closeFd(host.stdin);
    await relay.close();
  }
  t.equal(countFds(), before);
});
