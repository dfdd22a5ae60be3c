/**
 * Runs as a program in a virtual machine whose vsock is vsock_loopback: the "host" is this very process. Prints a
 * line for each check, "ok NAME" or "not ok NAME: why", and at last "end".
 */
import assert from "node:assert/strict";
import { readdirSync, writeSync } from "node:fs";
import {
  closeFd,
  duplicateFd,
  listen,
  openPty,
  pipe,
  Socket,
  shutdownSocket,
  spawn,
  startRelay,
  vsockCid,
} from "../../../../native/hvsock/index.ts";
import { type ConnectionSet, connectStdio } from "../../../../src/stdio/connection-set.ts";
import { PipeRelay } from "../../../../src/stdio/pipe-relay.ts";
import type { StdioPorts } from "../../../../src/stdio/transport.ts";
import { TtyRelay } from "../../../../src/stdio/tty-relay.ts";
import { VsockTransport } from "../../../../src/stdio/vsock-transport.ts";
import {
  bytesOf,
  digestOf,
  exitOf,
  patiently,
  receiveAll,
  receiveText,
  sendAll,
  startRelayEngine,
} from "../support.ts";

/** The guest has no transport but the loopback, which the agent would not take for its host. */
const loopback = new VsockTransport(vsockCid.local);

const mebibyte = 1024 * 1024;
let nextPort = 5000;

/** Dials the host for the streams wanted; gives the connections and the host's ends. */
async function dial<Wanted extends "stdin" | "stdout" | "stderr">(
  ...wanted: Wanted[]
): Promise<{ set: ConnectionSet; host: Record<Wanted, number> }> {
  const ports: Partial<Record<string, number>> = {};
  const listeners = wanted.map((stream) => {
    const port = nextPort++;
    ports[stream] = port;
    return listen({ cid: vsockCid.any, port });
  });
  const [set, ...fds] = await Promise.all([
    connectStdio(loopback, ports as StdioPorts),
    ...listeners.map((listener) => listener.acceptFd()),
  ]);
  for (const listener of listeners) listener.close();
  const host = Object.fromEntries(wanted.map((stream, i) => [stream, fds[i]]));
  return { set, host: host as Record<Wanted, number> };
}

async function relayTo(set: ConnectionSet, script: string) {
  const relay = new PipeRelay();
  relay.start(set);
  const { stdin, stdout, stderr } = relay.childFds;
  const stdio = [stdin ?? null, stdout ?? null, stderr ?? null] as const;
  const child = await spawn({ path: "sh", args: ["sh", "-c", script], stdio });
  relay.closeChildFds();
  return { relay, exit: exitOf(child) };
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const checks: Record<string, () => Promise<void>> = {
  "bytes both ways": async () => {
    const { set, host } = await dial("stdin", "stdout", "stderr");
    const { relay, exit } = await relayTo(set, "cat; echo all >&2");
    const block = bytesOf(mebibyte, 3);
    const stdin = new Socket(host.stdin);
    const [out, err] = await Promise.all([
      receiveAll(host.stdout),
      receiveText(host.stderr),
      sendAll(stdin, block, 16),
      exit.then(() => relay.drain()),
    ]);
    assert.deepEqual(out, digestOf(block, 16));
    assert.equal(err, "all\n");
    stdin.close();
    await relay.close();
  },
  "a host that closes is noticed while the output is silent": async () => {
    const { set, host } = await dial("stdout");
    const { readFd, writeFd } = pipe();
    const relay = startRelay({ source: readFd, sink: set.stdout?.release() ?? -1 });
    closeFd(host.stdout);
    assert.deepEqual(await relay.ended, { bytes: 0, reason: "sink-error", code: "EPIPE" });
    closeFd(writeFd);
  },
  "a host that only ended its side gets the output": async () => {
    const { set, host } = await dial("stdout");
    const { readFd, writeFd } = pipe();
    const sink = set.stdout?.release() ?? -1;
    const relay = startRelay({ source: readFd, sink, shutdownSink: true });
    shutdownSocket(host.stdout, "write");
    await pause(100);
    writeSync(writeFd, "late");
    closeFd(writeFd);
    assert.equal(await receiveText(host.stdout), "late");
    assert.deepEqual(await relay.ended, { bytes: 4, reason: "eof" });
  },
  "a host that vanishes does not hurt the process": async () => {
    const { set, host } = await dial("stdin", "stdout", "stderr");
    const { relay, exit } = await relayTo(set, "head -c 16777216 /dev/zero && exit 3");
    for (const fd of Object.values(host)) closeFd(fd);
    assert.equal((await exit).code, 3);
    await relay.drain();
    await relay.close();
  },
  "a host that reads late gets everything": async () => {
    const { set, host } = await dial("stdout");
    const { relay, exit } = await relayTo(set, "head -c 4194304 /dev/zero; echo end");
    await pause(500);
    const output = receiveAll(host.stdout);
    await exit;
    await relay.drain();
    assert.equal((await output).length, 4 * mebibyte + 4);
    await relay.close();
  },
  "a process that closes its stdin": async () => {
    const { set, host } = await dial("stdin");
    const { relay, exit } = await relayTo(set, "exec <&-; sleep 1; exit 5");
    const stdin = new Socket(host.stdin);
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => {
      stdin.onError = resolve;
    });
    const typing = setInterval(() => stdin.write(Buffer.from("x")), 20);
    assert.match((await failed).code ?? "", /EPIPE|ECONNRESET/);
    clearInterval(typing);
    stdin.close();
    assert.equal((await exit).code, 5);
    await relay.drain();
    await relay.close();
  },
  "the close is left to the host": async () => {
    const { set, host } = await dial("stdout");
    const { readFd, writeFd } = pipe();
    const sink = set.stdout?.release() ?? -1;
    const relay = startRelay({ source: readFd, sink, shutdownSink: true, lingerMs: 60_000 });
    closeFd(writeFd);
    await relay.ended;
    let isClosed = false;
    const closed = relay.closed.then(() => {
      isClosed = true;
    });
    await pause(100);
    assert.equal(isClosed, false);
    closeFd(host.stdout);
    await patiently("the close", closed);
  },
  "a terminal": async () => {
    const { set, host } = await dial("stdin", "stdout");
    const { masterFd, slaveFd } = openPty();
    const relay = new TtyRelay(masterFd);
    await relay.resize(30, 90);
    relay.start(set);
    const child = await spawn({
      path: "sh",
      args: ["sh", "-c", "stty -echo; stty size; read line; echo got $line"],
      stdio: [slaveFd, slaveFd, slaveFd],
      newSession: true,
      controllingTerminal: true,
    });
    closeFd(slaveFd);
    writeSync(host.stdin, "words\n");
    await exitOf(child);
    await relay.drain();
    assert.match(await receiveText(host.stdout), /30 90\r\n(.*\r\n)?got words\r\n$/);
    closeFd(host.stdin);
    await relay.close();
  },
  "control traffic both ways at once": async () => {
    const { set, host } = await dial("stdin");
    const [left, right] = [new Socket(host.stdin), new Socket(set.stdin?.release() ?? -1)];
    const block = bytesOf(256 * 1024, 4);
    const [a, b] = await Promise.all([
      receiveAll(duplicateFd(left.fd)),
      receiveAll(duplicateFd(right.fd)),
      sendAll(left, block, 32),
      sendAll(right, block, 32),
    ]);
    assert.deepEqual([a, b], [digestOf(block, 32), digestOf(block, 32)]);
    left.close();
    right.close();
  },
  "a port that nobody listens on": async () => {
    const dialled = loopback.dial(4999, { stream: "stdout", timeoutMs: 200 });
    await assert.rejects(dialled, { code: "DIAL_FAILED" });
  },
  "a host that listens a moment later": async () => {
    const dialled = loopback.dial(4998);
    await pause(100);
    const listener = listen({ cid: vsockCid.any, port: 4998 });
    (await dialled).close();
    listener.close();
  },
  "who listens here is not taken for the host": async () => {
    const listener = listen({ cid: vsockCid.any, port: 4997 });
    const dialled = new VsockTransport().dial(4997, { stream: "bridge", timeoutMs: 2000 });
    await assert.rejects(dialled, { code: "DIAL_FAILED", message: /is not the host/ });
    listener.close();
  },
};

await startRelayEngine();
for (const [name, check] of Object.entries(checks)) {
  const before = readdirSync("/proc/self/fd").length;
  try {
    await patiently(name, check());
    assert.equal(readdirSync("/proc/self/fd").length, before, "fds");
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`not ok ${name}: ${String(error).split("\n")[0]}`);
  }
}
console.log("end");
process.exit(0);
