import t, { type Test } from "tap";
import { parseJson, stringifyJson } from "../../src/common/json.ts";
import { decodeRequest, encodeRequest } from "../../src/protocol/codec.ts";
import { MESSAGE_NAMES, type MessageName } from "../../src/protocol/messages.ts";
import { RESOURCE_TYPES, type ResourceType } from "../../src/protocol/schemas/modify-settings.ts";
import { runsInUtilityVm, signalOf, stdioPortsOf } from "../../src/protocol/schemas/process.ts";
import { formatPath, sampleRequest, toWire, withField } from "./mutations.ts";

const UVM = "00000000-0000-0000-0000-000000000000";

function refuses(
  t: Test,
  name: MessageName,
  path: (string | number)[],
  value: unknown,
  expected: { code: string; message?: string | RegExp },
) {
  const body = toWire(withField(sampleRequest(name), path, value));
  t.throws(() => decodeRequest(name, body), expected, `${name} ${formatPath(path)}`);
}

function execute(parameters: object, settings: object = {}, ContainerId = "abc") {
  return decodeRequest(
    "ExecuteProcess",
    toWire({ ContainerId, Settings: { ProcessParameters: parameters, ...settings } }),
  );
}

t.test("numbers out of range are invalid arguments, by path", (t) => {
  const code = "INVALID_ARGUMENT";
  refuses(t, "WaitForProcess", ["ProcessId"], -1, {
    code,
    message: "ProcessId: expected an integer from 0 to 4294967295, got -1",
  });
  refuses(t, "WaitForProcess", ["TimeoutInMs"], 2 ** 32, { code });
  refuses(t, "WaitForProcess", ["TimeoutInMs"], 0.5, { code });
  refuses(t, "WaitForProcess", ["ProcessId"], 2n ** 63n, { code, message: /got 9223372036854775808$/ });
  refuses(t, "ResizeConsole", ["Width"], 0x10000, { code });
  refuses(t, "SignalProcess", ["Options", "Signal"], 65, { code });
  refuses(t, "NegotiateProtocol", ["MaximumVersion"], -4, { code });
  const { TimeoutInMs } = decodeRequest("WaitForProcess", toWire(sampleRequest("WaitForProcess")));
  t.equal(TimeoutInMs, 0xffffffff, "for ever");
  t.end();
});

t.test(
  "a wrong type deep inside a nested string of JSON is named by its path, its value is not shown",
  (t) => {
    const spec = ["ContainerConfig", "OciSpecification"];
    refuses(t, "Create", [...spec, "process", "args", 1], 5, {
      code: "INVALID_JSON",
      message: "ContainerConfig.OciSpecification.process.args[1]: expected string, got number",
    });
    refuses(
      t,
      "Create",
      [...spec, "annotations"],
      { "io.x/y": ["secret"] },
      {
        code: "INVALID_JSON",
        message: 'ContainerConfig.OciSpecification.annotations["io.x/y"]: expected string, got array',
      },
    );
    refuses(t, "Create", [...spec, "process", "env"], "SECRET=1", {
      code: "INVALID_JSON",
      message: "ContainerConfig.OciSpecification.process.env: expected array, got string",
    });
    refuses(t, "Create", ["ContainerConfig"], '{"SchemaVersion":', {
      code: "INVALID_JSON",
      message: /^ContainerConfig: not/,
    });
    t.end();
  },
);

t.test("a spec that could not run is refused before anything is made", (t) => {
  const spec = ["ContainerConfig", "OciSpecification"];
  const code = "INVALID_ARGUMENT";
  refuses(t, "Create", [...spec, "process", "args"], [], {
    code,
    message: /args: expected an array that is not empty/,
  });
  refuses(t, "Create", [...spec, "root", "path"], "", {
    code,
    message: /root.path: .* not empty, got an empty string$/,
  });
  t.end();
});

t.test("schema versions below 2.1 are refused, later ones taken", (t) => {
  const path = ["ContainerConfig", "SchemaVersion"];
  for (const [Major, Minor] of [
    [2, 0],
    [1, 9],
    [0, 0],
  ] as const) {
    refuses(
      t,
      "Create",
      path,
      { Major, Minor },
      {
        code: "INVALID_JSON",
        message: `ContainerConfig.SchemaVersion: expected 2.1 or later, got ${Major}.${Minor}`,
      },
    );
  }
  for (const [Major, Minor] of [
    [2, 1],
    [2, 5],
    [3, 0],
  ] as const) {
    const body = toWire(withField(sampleRequest("Create"), path, { Major, Minor }));
    t.strictSame(decodeRequest("Create", body).ContainerConfig.SchemaVersion, { Major, Minor });
  }
  t.end();
});

t.test("what the agent does not know in a spec passes through, large integers and odd names too", (t) => {
  const additions = {
    linux: {
      resources: { memory: { limit: 9223372036854771712n }, rdma: { x: null } },
      intelRdt: { closID: "x" },
    },
    prototype: { a: 1 },
    "vnd.example": [1, null, { deep: "er" }],
  };
  const spec = ["ContainerConfig", "OciSpecification"];
  const sample = sampleRequest("Create") as { ContainerConfig: { OciSpecification: object } };
  const wanted = { ...sample.ContainerConfig.OciSpecification, ...additions };
  const request = decodeRequest("Create", toWire(withField(sample, spec, wanted)));
  t.strictSame(request.ContainerConfig.OciSpecification, wanted);
  t.equal(request.ContainerConfig.OciSpecification.linux?.resources?.memory?.limit, 9223372036854771712n);
  const again = parseJson(encodeRequest("Create", request)) as { ContainerConfig: string };
  t.match(again.ContainerConfig, '"limit":9223372036854771712');
  t.end();
});

t.test("elsewhere unknown fields are ignored, and null is absent", (t) => {
  const body = JSON.stringify({ ContainerId: "abc", ActivityId: null, otsc: null, Unknown: { a: 1 } });
  const request = decodeRequest("Start", body);
  t.equal(request.ContainerId, "abc");
  t.equal(request.ActivityId, undefined);
  t.notOk("Unknown" in request);
  t.equal(encodeRequest("Start", request), '{"ContainerId":"abc"}');
  const traced = decodeRequest(
    "Start",
    '{"ContainerId":"abc","otsc":{"traceparent":"00-ab-cd-01","constructor":"c"}}',
  );
  t.strictSame({ ...traced.otsc }, { traceparent: "00-ab-cd-01", constructor: "c" });
  t.end();
});

t.test("an array is no object", (t) => {
  t.throws(() => decodeRequest("Start", "[]"), {
    code: "INVALID_JSON",
    message: "the body: expected object, got array",
  });
  refuses(t, "Create", ["ContainerConfig", "OciSpecification", "root"], [], { code: "INVALID_JSON" });
  t.end();
});

t.test("container ids are checked in every message but those that mean none", (t) => {
  for (const id of ["../escape", "a/b", "-rf", ".", "..", "a\0b", "a b", "é", "x".repeat(256)]) {
    const body = JSON.stringify({ ContainerId: id });
    t.throws(() => decodeRequest("Start", body), { code: "INVALID_CONTAINER_ID" }, JSON.stringify(id));
  }
  t.throws(() => decodeRequest("Start", '{"ContainerId":""}'), { code: "INVALID_ARGUMENT" });
  t.throws(() => decodeRequest("Start", JSON.stringify({ ContainerId: `\u001b[31m${"y".repeat(500)}` })), {
    message: /^container id "\\u001b\[31my{1,64}\.\.\. \(505 characters\)" is not/,
  });
  t.equal(decodeRequest("DumpStacks", '{"ContainerId":""}').ContainerId, "");
  refuses(t, "ModifySettings", ["Request", "Settings", "ContainerID"], "../x", {
    code: "INVALID_CONTAINER_ID",
  });
  t.end();
});

t.test("an activity id too long to be echoed is refused", (t) => {
  refuses(t, "Start", ["ActivityId"], "x".repeat(256), { code: "INVALID_ARGUMENT" });
  t.end();
});

t.test("an execute request tells the ports of the streams it asks for", (t) => {
  const ports = { VsockStdioRelaySettings: { StdIn: 1, StdOut: 2, StdErr: 3 } };
  const request = execute({ CreateStdOutPipe: true, CreateStdErrPipe: true }, ports);
  t.strictSame(stdioPortsOf(request), { stdout: 2, stderr: 3 });
  t.strictSame(stdioPortsOf(execute({})), {});
  t.throws(() => execute({ CreateStdInPipe: true }, { VsockStdioRelaySettings: { StdOut: 2 } }), {
    code: "INVALID_ARGUMENT",
    message: /a port in Settings\.VsockStdioRelaySettings/,
  });
  t.throws(() => execute({ CreateStdInPipe: true }), { code: "INVALID_ARGUMENT" });
  t.end();
});

t.test("a process for the utility VM needs a program", (t) => {
  t.ok(runsInUtilityVm(execute({ CommandLine: "ls" }, {}, UVM)));
  t.ok(runsInUtilityVm(execute({ CommandArgs: ["ls"], CreateInUtilityVM: true })));
  t.ok(runsInUtilityVm(execute({ CommandArgs: ["ls"], CreateInUtilityVm: true })), "as older hosts spell it");
  t.notOk(runsInUtilityVm(execute({})));
  for (const parameters of [{}, { CommandArgs: [] }, { CommandArgs: [""] }, { CommandLine: "  " }]) {
    t.throws(() => execute(parameters, {}, UVM), { code: "INVALID_ARGUMENT" }, JSON.stringify(parameters));
  }
  t.throws(() => execute({ OciProcess: { args: [], cwd: "/" } }), { code: "INVALID_ARGUMENT" });
  t.end();
});

t.test("no signal, or 0, is SIGKILL", (t) => {
  const signal = (Options?: unknown) =>
    signalOf(decodeRequest("SignalProcess", toWire({ ContainerId: "a", ProcessId: 1, Options })));
  t.same(
    [signal(), signal(null), signal({}), signal({ Signal: 0 }), signal({ Signal: 15 })],
    [9, 9, 9, 9, 15],
  );
  t.end();
});

t.test("a properties query may be empty or left out", (t) => {
  for (const Query of [undefined, null, "", "{}"]) {
    t.strictSame(decodeRequest("GetProperties", toWire({ ContainerId: "a", Query })).Query, {}, `${Query}`);
  }
  t.end();
});

t.test("every resource is known; Add is what an absent request type means", (t) => {
  // A resource without an entry here does not compile.
  const minimal: Readonly<Record<ResourceType, object>> = {
    SCSIDevice: {},
    MappedVirtualDisk: {},
    MappedDirectory: { MountPath: "/m" },
    VPMemDevice: { MountPath: "/m" },
    CombinedLayers: { ContainerRootPath: "/r" },
    Network: { ID: "guid" },
    VPCIDevice: { VMBusGUID: "guid" },
    ContainerConstraints: {},
    ContainerExecutionState: { State: "Paused" },
    SecurityPolicy: {},
    SecurityPolicyFragment: {},
    PodCgroupMemoryLimit: {},
  };
  t.same(RESOURCE_TYPES.toSorted(), Object.keys(minimal).toSorted());
  for (const ResourceType of RESOURCE_TYPES) {
    const Settings = minimal[ResourceType];
    for (const RequestType of [undefined, null, "", "Add"]) {
      const body = toWire({ ContainerId: UVM, Request: { ResourceType, RequestType, Settings } });
      t.same(decodeRequest("ModifySettings", body).Request, { ResourceType, RequestType: "Add", Settings });
    }
  }
  const memory = toWire({
    ContainerId: UVM,
    Request: { ResourceType: "PodCgroupMemoryLimit", RequestType: "Update" },
  });
  t.equal(decodeRequest("ModifySettings", memory).Request.RequestType, "Update");
  refuses(t, "ModifySettings", ["Request", "RequestType"], "PreAdd", { code: "INVALID_ARGUMENT" });
  refuses(t, "ModifySettings", ["Request", "ResourceType"], "HvSocket", {
    code: "NOT_SUPPORTED",
    message: /^the resource type "HvSocket" is not known/,
  });
  t.end();
});

t.test("limits of a container pass through to the runtime", (t) => {
  const Settings = {
    Linux: { memory: { limit: 9223372036854771712n }, cpu: { shares: 2 }, unified: { a: "b" } },
  };
  const body = toWire({ ContainerId: "a", Request: { ResourceType: "ContainerConstraints", Settings } });
  t.strictSame(decodeRequest("ModifySettings", body).Request.Settings, Settings);
  t.end();
});

t.test("field names match whatever their case, and the exact one goes first", (t) => {
  const DATA = new Set(["environment", "annotations", "otsc"]);
  const shouted = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(shouted);
    if (typeof value === "string" && value.startsWith("{")) return stringifyJson(shouted(parseJson(value)));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [
        key.toUpperCase(),
        DATA.has(key.toLowerCase()) ? inner : shouted(inner),
      ]),
    );
  };
  /** Of an OCI spec what no schema knows passes through by the name that it has. */
  const known = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(known);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, inner]) =>
        key === key.toUpperCase() && key.length > 1 ? [] : [[key, known(inner)]],
      ),
    );
  };
  for (const name of MESSAGE_NAMES) {
    const request = toWire(sampleRequest(name));
    const decoded = decodeRequest(name, stringifyJson(shouted(parseJson(request))));
    t.match(decodeRequest(name, request), known(decoded) as object, name);
    t.ok(stringifyJson(decoded).length > 0.5 * stringifyJson(decodeRequest(name, request)).length, name);
  }
  const wait = { ContainerId: "abc", ProcessId: 5, TimeoutInMs: 1 };
  const both = decodeRequest("WaitForProcess", toWire({ processid: 7, ...wait, PROCESSID: 8 }));
  t.equal(both.ProcessId, 5);
  t.end();
});
