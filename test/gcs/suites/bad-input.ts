/** Whatever a host sends, it gets a coded answer or loses its connection; containers are untouched. */
import type { Test } from "tap";
import { HResult, toSigned } from "../../../src/protocol/hresult.ts";
import { requestTypeOf, responseTypeOf } from "../../../src/protocol/messages.ts";
import type { BundleOptions } from "../../helpers/bundle.ts";
import { createBody, execParameters, executeBody, runSleeper, UVM } from "../../helpers/gcs-requests.ts";
import type { GuestEnvironment } from "./environment.ts";

const code = (name: keyof typeof HResult) => toSigned(HResult[name]);
/** Needs a fresh connection that has not negotiated, and hangs it up. */
export async function sendBadInput(t: Test, environment: GuestEnvironment): Promise<void> {
  const { host, rootfs } = environment;
  const bundle = (name: string) => `${environment.bundleDirectory}/${name}`;
  const create = (id: string, path: string, options: BundleOptions = {}) =>
    createBody(id, path, { rootfs, ...options });
  let nextId = 100_000n;

  /** Sends anything and returns the body of the reply with its id. */
  async function exchange(type: number, body: unknown) {
    const id = nextId++;
    host.send(type, id, body);
    return host.take(
      (frame) => frame.id === id,
      `a reply to ${typeof body === "string" ? body.slice(0, 80) : JSON.stringify(body)}`,
    );
  }

  await t.test("nothing is served before negotiation", async (t) => {
    for (const name of ["Create", "Start", "ExecuteProcess", "DumpStacks", "DeleteContainerState"] as const) {
      const reply = await exchange(requestTypeOf(name), { ContainerId: "c1", ActivityId: "a1" });
      t.equal(reply.type, responseTypeOf(name));
      t.match(
        reply.body,
        { Result: code("NOT_IMPLEMENTED"), ActivityId: "a1", ErrorMessage: /before NegotiateProtocol/ },
        name,
      );
    }
    for (const [MinimumVersion, MaximumVersion] of [
      [1, 3],
      [5, 9],
    ]) {
      const reply = await host.request("NegotiateProtocol", {
        ContainerId: "",
        MinimumVersion,
        MaximumVersion,
      });
      t.match(reply, { Result: code("UNSUPPORTED_PROTOCOL_VERSION"), ErrorRecords: [{ ModuleName: "gcs" }] });
    }
    t.match(await host.negotiate(), { Result: 0, Version: 4 });
    t.equal((await host.negotiate()).Result, code("INVALID_STATE"), "nor twice");
  });

  await t.test("bodies that are no request", async (t) => {
    const wait = requestTypeOf("WaitForProcess");
    const deep = `{"ContainerId":"c1","ProcessId":${"[".repeat(100_000)}${"]".repeat(100_000)}}`;
    for (const body of [
      "",
      "{",
      "nonsense",
      "null",
      "[]",
      "1",
      '"text"',
      '{"ContainerId":',
      deep,
      "\u0000",
      "{}",
    ]) {
      const { body: reply } = await exchange(wait, body);
      t.equal(reply.Result, code("INVALID_JSON"), JSON.stringify(body.slice(0, 40)));
      t.type(reply.ErrorMessage, "string");
    }
    const secret =
      '{"ContainerId":"c1","Settings":{"ProcessParameters":"{\\"Environment\\":{\\"PASSWORD\\":\\"hunter2\\"},"}}';
    const { body: reply } = await exchange(requestTypeOf("ExecuteProcess"), secret);
    t.equal(reply.Result, code("INVALID_JSON"));
    t.notMatch(JSON.stringify(reply), /hunter2/, "a secret is in no error");
  });

  await t.test("fields that are missing, null or of another type", async (t) => {
    const spec = JSON.parse(create("c", "/b").ContainerConfig as string) as Record<
      string,
      Record<string, unknown>
    >;
    const cases: [string, Parameters<typeof requestTypeOf>[0], unknown][] = [
      ["no config", "Create", { ContainerId: "c1" }],
      ["config of another type", "Create", { ContainerId: "c1", ContainerConfig: {} }],
      ["null in the config", "Create", { ContainerId: "c1", ContainerConfig: "null" }],
      [
        "no spec",
        "Create",
        { ContainerId: "c1", ContainerConfig: JSON.stringify({ ...spec, OciSpecification: null }) },
      ],
      [
        "no process in the spec",
        "Create",
        {
          ContainerId: "c1",
          ContainerConfig: JSON.stringify({
            ...spec,
            OciSpecification: { ...spec.OciSpecification, process: null },
          }),
        },
      ],
      [
        "an old schema",
        "Create",
        {
          ContainerId: "c1",
          ContainerConfig: JSON.stringify({ ...spec, SchemaVersion: { Major: 2, Minor: 0 } }),
        },
      ],
      ["no settings", "ExecuteProcess", { ContainerId: "c1" }],
      ["no pid", "WaitForProcess", { ContainerId: "c1", TimeoutInMs: 1 }],
      ["a pid that is text", "WaitForProcess", { ContainerId: "c1", ProcessId: "1", TimeoutInMs: 1 }],
      ["no request", "ModifySettings", { ContainerId: UVM, Request: null }],
    ];
    for (const [what, name, body] of cases) {
      const { body: reply } = await exchange(requestTypeOf(name), body);
      t.equal(reply.Result, code("INVALID_JSON"), `${what}: ${reply.ErrorMessage}`);
    }
  });

  await t.test("messages, versions and resources that nobody knows", async (t) => {
    for (const type of [0x10100e01, 0x10100102, 0x10200101, 0x10000000, 0x00000000, 0xffffffff]) {
      const reply = await exchange(type, { ContainerId: "c1", ActivityId: "a2" });
      t.match(reply.body, { Result: code("NOT_IMPLEMENTED"), ActivityId: "a2" }, type.toString(16));
    }
    const response = await exchange(0x20100101, { Result: 0 });
    t.equal(response.body.Result, code("NOT_IMPLEMENTED"), "a response sent to the guest");
    const request = { ResourceType: "Toaster", RequestType: "Add", Settings: {} };
    const resource = await host.request("ModifySettings", { ContainerId: UVM, Request: request });
    t.match(resource, { Result: code("NOT_IMPLEMENTED"), ErrorMessage: /Toaster/ });
  });

  await t.test("ids that are no names", async (t) => {
    for (const id of ["a/b", "../c1", "..", ".", "a\u0000b", "x".repeat(300), "", " ", "-c1", "c1\n"]) {
      const reply = await host.request("Create", create(id, bundle("bad")));
      t.equal(
        reply.Result,
        code("INVALID_ARGUMENT"),
        `${JSON.stringify(id.slice(0, 20))}: ${reply.ErrorMessage}`,
      );
    }
  });

  await t.test("what does not exist, and what cannot be", async (t) => {
    const pid = await runSleeper(host, "c1", bundle("c1"), rootfs);
    const cases: [string, number, Record<string, unknown>][] = [
      [
        "an id used twice",
        code("SYSTEM_ALREADY_EXISTS"),
        await host.request("Create", create("c1", bundle("c1"))),
      ],
      ["init started twice", code("INVALID_STATE"), await host.request("ExecuteProcess", executeBody("c1"))],
      [
        "delete while it runs",
        code("INVALID_STATE"),
        await host.request("DeleteContainerState", { ContainerId: "c1" }),
      ],
      ["an unknown container", code("SYSTEM_NOT_FOUND"), await host.request("Start", { ContainerId: "c9" })],
      [
        "exec there",
        code("SYSTEM_NOT_FOUND"),
        await host.request("ExecuteProcess", executeBody("c9", execParameters(["/bin/true"]))),
      ],
      [
        "an unknown pid",
        code("NOT_FOUND"),
        await host.request("WaitForProcess", { ContainerId: "c1", ProcessId: 4_000_000, TimeoutInMs: 1 }),
      ],
      [
        "an unknown pid in the VM",
        code("NOT_FOUND"),
        await host.request("SignalProcess", { ContainerId: UVM, ProcessId: 1 }),
      ],
      [
        "a wait that times out",
        code("TIMEOUT"),
        await host.request("WaitForProcess", { ContainerId: "c1", ProcessId: pid, TimeoutInMs: 1 }),
      ],
      [
        "a signal that is none",
        code("INVALID_ARGUMENT"),
        await host.request("SignalProcess", { ContainerId: "c1", ProcessId: pid, Options: { Signal: 99 } }),
      ],
      [
        "a console that is none",
        code("FAIL"),
        await host.request("ResizeConsole", { ContainerId: "c1", ProcessId: pid, Height: 1, Width: 1 }),
      ],
      [
        "properties of the VM",
        code("FAIL"),
        await host.request("GetProperties", { ContainerId: UVM, Query: '{"PropertyTypes":["ProcessList"]}' }),
      ],
      [
        "a query that is no JSON",
        code("INVALID_JSON"),
        await host.request("GetProperties", { ContainerId: "c1", Query: "{" }),
      ],
      [
        "an exec that does not exist",
        code("FAIL"),
        await host.request("ExecuteProcess", executeBody("c1", execParameters(["/bin/nonesuch"]))),
      ],
      [
        "a process in the VM without a command",
        code("INVALID_ARGUMENT"),
        await host.request("ExecuteProcess", executeBody(UVM, { CommandLine: " " })),
      ],
      [
        "one that does not exist",
        code("FAIL"),
        await host.request("ExecuteProcess", executeBody(UVM, { CommandArgs: ["/bin/nonesuch"] })),
      ],
      [
        "one with a terminal that does not exist",
        code("FAIL"),
        await host.request(
          "ExecuteProcess",
          executeBody(UVM, { CommandArgs: ["/bin/nonesuch"], EmulateConsole: true }),
        ),
      ],
      [
        "a quote that is not closed",
        code("INVALID_ARGUMENT"),
        await host.request("ExecuteProcess", executeBody(UVM, { CommandLine: "echo 'x" })),
      ],
    ];
    for (const [what, expected, reply] of cases)
      t.equal(reply.Result, expected, `${what}: ${reply.ErrorMessage}`);

    const noPort = await host.request(
      "ExecuteProcess",
      executeBody("c1", execParameters(["/bin/true"], { CreateStdOutPipe: true }), { StdOut: 0x40009999 }),
    );
    t.match(
      noPort,
      { Result: code("FAIL"), ErrorMessage: /stdout.*1073781145|1073781145.*stdout/ },
      "a stdio port that nobody listens on",
    );

    const empty = create("c2", bundle("c2"), { args: [] });
    t.equal(
      (await host.request("Create", empty)).Result,
      code("INVALID_ARGUMENT"),
      "a container without a command",
    );
    const noInit = await host.request("Create", create("c2", bundle("c2"), { args: ["/bin/nonesuch"] }));
    t.match(noInit, { Result: code("FAIL"), ErrorMessage: /\/bin\/nonesuch/ }, "an init that does not exist");
    const noBundle = await host.request("Create", create("c2", "/proc/version/c2"));
    t.match(
      noBundle,
      { Result: code("FAIL"), ErrorMessage: /version\/c2/ },
      "a bundle path that cannot be made",
    );
    t.equal((await host.request("Create", create("c2", "relative/path"))).Result, code("INVALID_ARGUMENT"));
    for (const namespaces of [
      undefined,
      null,
      [],
      [{ type: "pid" }],
      [{ type: "mount", path: "/proc/1/ns/mnt" }],
    ]) {
      const linux = namespaces === undefined ? undefined : { namespaces };
      const reply = await host.request("Create", create("c2", bundle("c2"), { extra: { linux } }));
      t.equal(reply.Result, code("INVALID_ARGUMENT"), "its mounts would be the machine's");
      t.match(reply.ErrorMessage, /mount/);
    }

    t.match(
      await host.request("Create", create("c2", bundle("c2"))),
      { Result: 0 },
      "the id is free after all failures",
    );
    const early = await host.request("ExecuteProcess", executeBody("c2", execParameters(["/bin/true"])));
    t.equal(early.Result, code("INVALID_STATE"), "exec before init runs");
    const query = { ContainerId: "c2", Query: '{"PropertyTypes":["ProcessList"]}' };
    const properties = JSON.parse(String((await host.request("GetProperties", query)).Properties));
    const ProcessId: unknown = properties.ProcessList[0].ProcessId;
    t.equal(
      (await host.request("ShutdownForced", { ContainerId: "c2" })).Result,
      0,
      "a created container can be ended",
    );
    const wait = { ContainerId: "c2", ProcessId, TimeoutInMs: 0xffffffff };
    t.match(await host.request("WaitForProcess", wait), { Result: 0, ExitCode: 137 });
    t.equal(
      (await host.request("ShutdownForced", { ContainerId: "c2" })).Result,
      code("SYSTEM_ALREADY_STOPPED"),
      "ended twice",
    );
    const late = await host.request("ExecuteProcess", executeBody("c2", execParameters(["/bin/true"])));
    t.equal(late.Result, code("INVALID_STATE"), "exec after the end");
    t.equal((await host.request("DeleteContainerState", { ContainerId: "c2" })).Result, 0);
    t.equal(
      (await host.request("DeleteContainerState", { ContainerId: "c2" })).Result,
      code("SYSTEM_NOT_FOUND"),
      "deleted twice",
    );

    const alive = await host.request("GetProperties", {
      ContainerId: "c1",
      Query: '{"PropertyTypes":["ProcessList"]}',
    });
    t.same(JSON.parse(alive.Properties as string), { ProcessList: [{ ProcessId: pid }] }, "c1 runs on");
  });

  await t.test("broken framing costs the connection, and nothing else", async (t) => {
    const header = (size: number) => {
      const bytes = Buffer.alloc(16);
      bytes.writeUInt32LE(0x10100b01, 0);
      bytes.writeUInt32LE(size, 4);
      return bytes;
    };
    const before = environment.countDescriptors?.();
    for (const size of [0, 15, 65 * 1024 * 1024, 0xffffffff]) {
      const { bridge } = host;
      const ended = new Promise((resolve) => bridge.once("close", resolve));
      bridge.write(header(size));
      bridge.resume();
      const redialled = host.accept();
      await ended;
      await redialled;
      t.match(await host.negotiate(), { Result: 0 }, `served again after a header that says ${size} bytes`);
    }
    host.bridge.end(Buffer.concat([header(1000), Buffer.from("only a part")]));
    await host.accept();
    t.match(await host.negotiate(), { Result: 0 }, "served again after a frame cut short");
    const alive = await host.request("GetProperties", {
      ContainerId: "c1",
      Query: '{"PropertyTypes":["ProcessList"]}',
    });
    t.match(JSON.parse(alive.Properties as string), { ProcessList: [{}] }, "c1 runs on");
    t.equal(environment.countDescriptors?.(), before, "no descriptor was lost");
  });

  t.equal((await host.request("ShutdownForced", { ContainerId: "c1" })).Result, 0);
  await host.take(({ body }) => body.ContainerId === "c1" && body.Type === "ForcedExit", "the exit of c1");
  t.equal((await host.request("DeleteContainerState", { ContainerId: "c1" })).Result, 0);
  await host.hangUp();
}
