import { execFileSync } from "node:child_process";
import { chmodSync, statSync } from "node:fs";
import { test } from "tap";
import { attach, call, callJson } from "../../../src/hcs/serve/client.ts";
import { channels, encodeFrames, FrameReader } from "../../../src/hcs/serve/stdio-frames.ts";
import { rejection } from "../compute/support.ts";
import { TestService } from "./support.ts";

test("the socket is for its user and root alone", async (t) => {
  const service = new TestService(t);
  await service.start();
  t.equal(statSync(service.socket).mode & 0o777, 0o600);
  t.equal(statSync(service.directory).mode & 0o777, 0o700);
  // Even when the files let somebody through, the kernel tells who has connected.
  chmodSync(service.directory, 0o755);
  chmodSync(service.socket, 0o666);
  const script = `import socket
s = socket.socket(socket.AF_UNIX)
s.connect("${service.socket}")
s.sendall(b"GET /systems HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
print(s.makefile().read())`;
  const asUser = (uid: string) =>
    execFileSync("setpriv", ["--reuid", uid, "--regid", uid, "--clear-groups", "python3", "-c", script], {
      encoding: "utf8",
      env: { PATH: "/usr/bin:/bin" },
    });
  t.match(asUser("0"), "200 OK");
  const refused = asUser("65534");
  t.match(refused, /^HTTP\/1.1 501/);
  t.match(refused, "user 65534 may not use this service");
});

test("a document of version 2, with a container hosted in its VM, over the socket", async (t) => {
  const service = new TestService(t);
  await service.start();
  const api = (method: string, path: string, body?: object) => callJson(service.socket, method, path, body);
  const vm = { id: "vm", document: { VirtualMachine: {} }, driver: "local" };
  t.match(await api("POST", "/systems", vm), { Id: "vm", SystemType: "VirtualMachine", State: "Created" });
  await api("POST", "/systems/vm/start");
  const hosted = { HostingSystemId: "vm", HostedSystem: { Container: {} } };
  await api("POST", "/systems", { id: "inside", document: hosted });
  await api("POST", "/systems/inside/start");
  const parameters = { CommandArgs: ["sleep", "1000"] };
  const { pid } = (await api("POST", "/systems/inside/processes", { parameters })) as { pid: number };
  for (const [path, code] of [
    [`inside/processes/${pid}/attach`, "INVALID_STATE"],
    ["inside/processes/1/attach", "PROCESS_NOT_FOUND"],
    ["nowhere/processes/1/attach", "SYSTEM_NOT_FOUND"],
    ["inside/attach", "NOT_SUPPORTED"],
  ] as const) {
    t.match(
      await rejection(attach(service.socket, `/systems/${path}`)),
      { code },
      "an answer, before any stream",
    );
  }
  t.match(await api("GET", "/systems/inside?v1=ProcessList&v2=Statistics"), {
    HostingSystemId: "vm",
    ProcessList: [{ ProcessId: pid }],
    Statistics: { Memory: {} },
  });
  const { LCOWMetrics } = JSON.parse(
    JSON.stringify(await api("GET", "/systems/inside?v1=Statistics&v2=Statistics")),
  );
  t.match(
    LCOWMetrics.memory.usage.limit,
    /^(9223372036854771712|18446744073709551615)$/,
    "no limit is told exactly, as a string",
  );
  const limit = { ResourcePath: "Container/Memory/SizeInMB", Settings: 64 };
  await api("POST", "/systems/inside/modify", limit);
  t.match(await api("POST", `/systems/inside/processes/${pid}/signal`, { signal: 9 }), { delivered: true });
  t.match(await api("GET", `/systems/inside/processes/${pid}/wait`), { exitCode: 137 });
  t.match(await api("GET", "/systems/inside/wait"), { State: "Stopped" });
  await api("DELETE", "/systems/inside");
  t.match(await rejection(api("POST", "/systems/vm/save", { SaveType: "ToFile" })), {
    code: "INVALID_STATE",
  });
  await api("POST", "/systems/vm/shutdown");
  await api("GET", "/systems/vm/wait");
  await api("DELETE", "/systems/vm");
  t.strictSame(await api("GET", "/systems"), []);
});

test("calls that make no sense are errors, and the service goes on", async (t) => {
  const service = new TestService(t);
  await service.start();
  const api = (method: string, path: string, body?: object) => callJson(service.socket, method, path, body);
  for (const [method, path, body, code] of [
    ["GET", "/", undefined, "NOT_SUPPORTED"],
    ["POST", "/systems", {}, "INVALID_ARGUMENT"],
    ["POST", "/systems", { id: "x" }, "INVALID_JSON"],
    ["POST", "/systems", { id: "x", document: { VirtualMachine: { Nope: 1 } } }, "INVALID_JSON"],
    ["POST", "/systems", { id: "x", document: { VirtualMachine: {} }, driver: "lokal" }, "INVALID_JSON"],
    ["POST", "/systems", { id: "x", document: { VirtualMachine: {} }, Driver: "local" }, "INVALID_JSON"],
    ["POST", "/systems", { id: "x", document: { VirtualMachine: {} }, init: "sh" }, "INVALID_JSON"],
    [
      "POST",
      "/systems",
      { id: "x", document: { HostingSystemId: "none", Container: {} } },
      "SYSTEM_NOT_FOUND",
    ],
    ["GET", "/systems/none", undefined, "SYSTEM_NOT_FOUND"],
    ["GET", "/systems/%2e%2e%2f", undefined, "SYSTEM_NOT_FOUND"],
  ] as const) {
    t.match(await rejection(api(method, path, body)), { code }, `${method} ${path}`);
  }
  await api("POST", "/systems", { id: "x", document: { VirtualMachine: {} }, driver: "local" });
  t.match(await rejection(api("POST", "/systems/x/dance")), { code: "NOT_SUPPORTED" });
  t.match(await rejection(api("POST", "/systems/x/processes", { parameters: { Nope: 1 } })), {
    code: "INVALID_JSON",
  });
  t.match(await rejection(api("GET", "/systems/x/processes/1/wait")), { code: "PROCESS_NOT_FOUND" });
  const signal = AbortSignal.abort();
  t.match(await rejection(call(service.socket, "GET", "/systems", undefined, { signal })), {
    code: "ABORTED",
  });
  t.match(await api("GET", "/systems"), [{ Id: "x" }]);
});

test("frames of streams come out as they went in, in whatever pieces", async (t) => {
  const large = Buffer.alloc(2_500_000, "x");
  const sent = [
    ...encodeFrames(channels.stdout, Buffer.from("one")),
    ...encodeFrames(channels.stderr, Buffer.alloc(0)),
    ...encodeFrames(channels.stdin, large),
  ];
  t.equal(sent.length, 2 + 3, "large data goes in several frames");
  const all = Buffer.concat(sent);
  for (const size of [1000, 4096, all.length]) {
    const reader = new FrameReader();
    const received: { channel: number; data: Buffer }[] = [];
    for (let at = 0; at < all.length; at += size) received.push(...reader.push(all.subarray(at, at + size)));
    t.match(received.slice(0, 2), [
      { channel: 1, data: Buffer.from("one") },
      { channel: 2, data: Buffer.alloc(0) },
    ]);
    t.ok(Buffer.concat(received.slice(2).map(({ data }) => data)).equals(large));
  }
  t.throws(() => [...new FrameReader().push(Buffer.from([0, 0xff, 0xff, 0xff, 0xff]))], RangeError);
});
