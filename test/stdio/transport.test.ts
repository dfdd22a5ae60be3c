import { readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { listen } from "../../native/hvsock/index.ts";
import { closeConnections, connectStdio } from "../../src/stdio/connection-set.ts";
import { transportFromFlag } from "../../src/stdio/transport-flag.ts";
import { UnixTransport, unixSocketPath } from "../../src/stdio/unix-transport.ts";
import { VsockTransport } from "../../src/stdio/vsock-transport.ts";
import { countFds, receiveText, temporaryDirectory } from "../native/hvsock/support.ts";

test("a flag names a transport, or the error says what may stand there", async (t) => {
  t.equal(transportFromFlag("vsock").name, "vsock");
  t.equal(transportFromFlag("unix:/run/host").name, "unix:/run/host");
  t.equal(transportFromFlag("null").name, "null");
  for (const flag of ["", "tcp", "unix:", "VSOCK", "unix"]) {
    t.throws(
      () => transportFromFlag(flag),
      { code: "INVALID_ARGUMENT", message: /vsock, unix:PREFIX/ },
      flag,
    );
  }
});

test("port P of a Unix transport is the socket PREFIX_P", async (t) => {
  const prefix = join(temporaryDirectory(t), "host");
  t.equal(unixSocketPath(prefix, 0x40000000), `${prefix}_1073741824`);
  const listener = listen({ path: unixSocketPath(prefix, 7) });
  const connection = await new UnixTransport(prefix).dial(7, { stream: "stdout" });
  const host = await listener.acceptFd();
  writeSync(connection.fd, "to the host");
  connection.shutdown("write");
  connection.shutdown("write");
  t.equal(await receiveText(host), "to the host");
  connection.shutdown("write");
  connection.shutdown("read");
  connection.close();
  connection.close();
  t.equal(connection.fd, -1);
  t.throws(() => connection.release(), { code: "TRANSPORT_CLOSED" });
  listener.close();
});

test("a host that listens a moment later is reached", async (t) => {
  const prefix = join(temporaryDirectory(t), "host");
  const dialled = new UnixTransport(prefix).dial(1);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const listener = listen({ path: unixSocketPath(prefix, 1) });
  (await dialled).close();
  listener.close();
  t.pass("reached");
});

test("a dial that fails names stream, port and cause, and leaves no fd", async (t) => {
  const prefix = join(temporaryDirectory(t), "host");
  const before = countFds();
  const transport = new UnixTransport(prefix);
  await t.rejects(transport.dial(0x40000005, { stream: "stderr", timeoutMs: 30 }), {
    code: "DIAL_FAILED",
    message: /stderr on port 1073741829 .*30 ms/,
    cause: { code: "ENOENT" },
  });
  const once = performance.now();
  await t.rejects(transport.dial(9, { retry: false }), { code: "DIAL_FAILED" });
  t.ok(performance.now() - once < 25_000, "the first failure was final");
  await t.rejects(transport.dial(9, { signal: AbortSignal.timeout(20) }), { code: "ABORTED" });
  await t.rejects(transport.dial(9, { signal: AbortSignal.abort() }), { code: "ABORTED" });
  await t.rejects(new UnixTransport(`/${"x".repeat(200)}`).dial(9), {
    code: "DIAL_FAILED",
    cause: { code: "ENAMETOOLONG" },
  });
  for (const port of [-1, 2 ** 32, 0.5]) {
    await t.rejects(transport.dial(port), { code: "INVALID_ARGUMENT" }, String(port));
    await t.rejects(new VsockTransport().dial(port), { code: "INVALID_ARGUMENT" }, String(port));
  }
  t.equal(countFds(), before);
});

test("vsock: a host that does not answer is an error by the deadline", async (t) => {
  const before = countFds();
  await t.rejects(new VsockTransport().dial(0x7ffffff2, { stream: "bridge", timeoutMs: 200 }), {
    code: "DIAL_FAILED",
    message: /bridge on port 2147483634 \(vsock:2:0x7ffffff2\)/,
  });
  t.equal(countFds(), before);
});

test("null: reads end at once, writes vanish", async (t) => {
  const transport = transportFromFlag("null");
  const connection = await transport.dial(5);
  t.equal(readSync(connection.fd, Buffer.alloc(1)), 0);
  t.equal(writeSync(connection.fd, "nothing"), 7);
  connection.shutdown("write");
  connection.close();
  await t.rejects(transport.dial(5, { signal: AbortSignal.abort() }), { code: "ABORTED" });
});

test("stdio: all wanted streams are dialled, each to its port", async (t) => {
  const prefix = join(temporaryDirectory(t), "host");
  const before = countFds();
  const listeners = [1, 2].map((port) => listen({ path: unixSocketPath(prefix, port) }));
  const set = await connectStdio(new UnixTransport(prefix), { stdin: 1, stderr: 2 });
  t.same(Object.keys(set), ["stdin", "stderr"]);
  const accepted = await Promise.all(listeners.map((listener) => listener.accept()));
  closeConnections(set);
  closeConnections(set);
  for (const socket of accepted) socket.close();
  for (const listener of listeners) listener.close();
  t.same(await connectStdio(new UnixTransport(prefix), {}), {});
  t.equal(countFds(), before);
});

test("stdio: when one stream fails, the error is its own, and nothing stays open", async (t) => {
  const prefix = join(temporaryDirectory(t), "host");
  const before = countFds();
  const listener = listen({ path: unixSocketPath(prefix, 1) });
  // stdout would be retried for long, had stderr not failed.
  const ports = { stdin: 1, stdout: 3, stderr: -1 };
  await t.rejects(connectStdio(new UnixTransport(prefix), ports, { timeoutMs: 60_000 }), {
    code: "INVALID_ARGUMENT",
  });
  await t.rejects(connectStdio(new UnixTransport(prefix), { stdin: 1, stdout: 3 }, { timeoutMs: 20 }), {
    code: "DIAL_FAILED",
    message: /stdout on port 3/,
  });
  const signal = AbortSignal.timeout(20);
  await t.rejects(connectStdio(new UnixTransport(prefix), { stdin: 1, stdout: 3 }, { signal }), {
    code: "ABORTED",
  });
  listener.close();
  t.equal(countFds(), before);
});
