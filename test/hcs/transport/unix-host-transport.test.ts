import { existsSync, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import type { Readable } from "node:stream";
import { test } from "tap";
import { AgentError } from "../../../src/common/errors.ts";
import { UnixHostTransport } from "../../../src/hcs/transport/unix-host-transport.ts";
import { shortDirectory } from "../short-directory.ts";

function dial(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true }, () => resolve(socket));
    socket.once("error", reject);
  });
}

/** Reads to the end without destroying the stream, as the readers of node:stream/consumers do. */
function text(stream: Readable): Promise<string> {
  return new Promise((resolve, reject) => {
    let read = "";
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      read += chunk;
    });
    stream.once("end", () => resolve(read)).once("error", reject);
  });
}

test("a guest dials, both sides half-close, nothing is lost", async (t) => {
  const prefix = `${shortDirectory(t)}/uvm`;
  const transport = new UnixHostTransport(prefix);
  t.teardown(() => transport.close());
  const listener = await transport.listen(7);
  t.equal(statSync(`${prefix}_7`).mode & 0o777, 0o600);

  const guest = await dial(`${prefix}_7`);
  const host = await listener.accept({ timeoutMs: 10_000 });
  guest.end("from the guest");
  t.equal(await text(host), "from the guest");
  host.end("from the host, after the guest's half-close");
  t.equal(await text(guest), "from the host, after the guest's half-close");
});

test("accept waits, in order, with a deadline and an abort signal", async (t) => {
  const prefix = `${shortDirectory(t)}/uvm`;
  const transport = new UnixHostTransport(prefix);
  t.teardown(() => transport.close());
  const listener = await transport.listen(8);
  await t.rejects(listener.accept({ timeoutMs: 10 }), { code: "TIMEOUT", message: /port 8 of unix:/ });
  await t.rejects(listener.accept({ signal: AbortSignal.abort() }), { code: "ABORTED" });
  const abort = new AbortController();
  const aborted = t.rejects(listener.accept({ signal: abort.signal }), { code: "ABORTED" });
  abort.abort();
  await aborted;

  const both = [listener.accept({ timeoutMs: 10_000 }), listener.accept({ timeoutMs: 10_000 })];
  const guests = [await dial(`${prefix}_8`), await dial(`${prefix}_8`)];
  for (const [index, guest] of guests.entries()) guest.end(`guest ${index}`);
  const hosts = await Promise.all(both);
  t.same(await Promise.all(hosts.map((host) => text(host))), ["guest 0", "guest 1"]);
  for (const host of hosts) host.destroy();
});

test("closing with a reason fails open streams and pending accepts with it, and removes the socket", async (t) => {
  const prefix = `${shortDirectory(t)}/uvm`;
  const transport = new UnixHostTransport(prefix);
  const listener = await transport.listen(9);
  const guest = await dial(`${prefix}_9`);
  const host = await listener.accept();
  const failed = new Promise<Error>((resolve) => host.once("error", resolve));
  const pending = t.rejects(listener.accept(), { code: "TRANSPORT_CLOSED", message: "the VM has died" });
  await transport.close(new AgentError("TRANSPORT_CLOSED", "the VM has died"));
  await pending;
  t.match(await failed, { code: "TRANSPORT_CLOSED", message: "the VM has died" });
  t.notOk(existsSync(`${prefix}_9`));
  await t.rejects(transport.listen(10), { message: "the VM has died" });
  guest.destroy();
});

test("a stale socket file is replaced; a living listener and any other file are not", async (t) => {
  const prefix = `${shortDirectory(t)}/uvm`;
  const first = new UnixHostTransport(prefix);
  t.teardown(() => first.close());
  await first.listen(1);
  const second = new UnixHostTransport(prefix);
  t.teardown(() => second.close());
  await t.rejects(second.listen(1), { code: "SYSTEM_CALL_FAILED", message: /_1$/ });
  await writeFile(`${prefix}_2`, "precious");
  await t.rejects(second.listen(2), { code: "SYSTEM_CALL_FAILED" });
  await t.rejects(first.listen(1), { code: "INVALID_ARGUMENT" });
  await t.rejects(first.listen(-1), { code: "INVALID_ARGUMENT" });
  await t.rejects(first.listen(0xffff_ffff), { code: "INVALID_ARGUMENT" });
});
