import fc from "fast-check";
import t from "tap";
import { AgentError } from "../../src/common/errors.ts";
import { decodeNotification, decodeRequest, decodeResponse } from "../../src/protocol/codec.ts";
import { MESSAGE_NAMES, type MessageName } from "../../src/protocol/messages.ts";
import { formatPath, pathsOf, sampleRequest, toWire, withField } from "./mutations.ts";
import { recordedFrames, unfold } from "./transcript.ts";

/** The codes a request may be refused with before any state is looked at. */
const REFUSALS = new Set(["INVALID_JSON", "INVALID_ARGUMENT", "INVALID_CONTAINER_ID", "NOT_SUPPORTED"]);

/** undefined when accepted; anything but an AgentError is a defect and thrown on. */
function refusal(work: () => unknown): AgentError | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof AgentError) return error;
    throw error;
  }
}

const SPEC = "ContainerConfig.OciSpecification";

/** Without these fields (array elements aside) a request is refused as INVALID_JSON that names the field. */
const required: Record<MessageName, readonly string[]> = {
  NegotiateProtocol: ["ContainerId", "MaximumVersion", "MinimumVersion"],
  Create: [
    "ContainerConfig",
    "ContainerConfig.SchemaVersion",
    "ContainerConfig.SchemaVersion.Major",
    "ContainerConfig.SchemaVersion.Minor",
    SPEC,
    `${SPEC}.process`,
    `${SPEC}.process.args`,
    `${SPEC}.process.cwd`,
    `${SPEC}.root`,
    `${SPEC}.root.path`,
    `${SPEC}.mounts[].destination`,
    `${SPEC}.linux.namespaces[].type`,
    "ContainerId",
  ],
  Start: ["ContainerId"],
  ShutdownGraceful: ["ContainerId"],
  ShutdownForced: ["ContainerId"],
  DeleteContainerState: ["ContainerId"],
  DumpStacks: ["ContainerId"],
  ExecuteProcess: [
    "ContainerId",
    "Settings",
    "Settings.ProcessParameters",
    "Settings.ProcessParameters.OciProcess.args",
    "Settings.ProcessParameters.OciProcess.cwd",
  ],
  WaitForProcess: ["ContainerId", "ProcessId", "TimeoutInMs"],
  SignalProcess: ["ContainerId", "ProcessId"],
  ResizeConsole: ["ContainerId", "Height", "ProcessId", "Width"],
  GetProperties: ["ContainerId"],
  ModifySettings: [
    "ContainerId",
    "Request",
    "Request.ResourceType",
    "Request.Settings",
    "Request.Settings.ContainerRootPath",
    "Request.Settings.Layers[].Path",
  ],
};

for (const name of MESSAGE_NAMES) {
  t.test(`${name}: a field that must be there is missed by name, whether removed or null`, (t) => {
    const sample = sampleRequest(name);
    t.doesNotThrow(() => decodeRequest(name, toWire(sample)), "the sample itself is valid");
    const missed = new Set<string>();
    const refusedAsNull = new Set<string>();
    for (const path of pathsOf(sample)) {
      if (typeof path.at(-1) === "number") continue;
      const shown = formatPath(path);
      const field = shown.replace(/\[\d+\]/g, "[]");
      const removed = refusal(() => decodeRequest(name, toWire(withField(sample, path, undefined))));
      if (removed?.code === "INVALID_JSON") {
        missed.add(field);
        t.equal(removed.message, `${shown} is missing`);
      }
      const asNull = refusal(() => decodeRequest(name, toWire(withField(sample, path, null))));
      if (asNull?.code === "INVALID_JSON") {
        refusedAsNull.add(field);
        t.match(asNull.message, new RegExp(`^${shown.replace(/[[\].]/g, "\\$&")}: expected .*, got null$`));
      }
    }
    t.same([...missed].sort(), [...required[name]].sort());
    t.same(refusedAsNull, missed, "null is as good as absent");
    t.end();
  });

  t.test(`${name}: a value of any other type anywhere is refused by path or passes through`, (t) => {
    const sample = sampleRequest(name);
    const replacements = [null, true, -1, 1.5, 2 ** 32, 2n ** 63n, "", "text", [], [null], {}, { a: 1 }];
    let refused = 0;
    for (const path of pathsOf(sample)) {
      for (const replacement of replacements) {
        const error = refusal(() => decodeRequest(name, toWire(withField(sample, path, replacement))));
        if (!error) continue;
        refused++;
        const shown = `${formatPath(path)} = ${typeof replacement} ${String(replacement)}: ${error.message}`;
        if (!REFUSALS.has(error.code)) t.fail(shown);
        const named = error.message.startsWith(formatPath(path));
        const knowsItself =
          error.code !== "INVALID_JSON" || named || error.message.startsWith(`${formatPath(path)}.`);
        if (!knowsItself) t.fail(shown);
      }
    }
    t.ok(refused >= pathsOf({ ContainerId: "" }).length * 9, `${refused} were refused`);
    t.end();
  });
}

t.test("any JSON at all in any message is decoded or refused with a code", (t) => {
  const name = fc.constantFrom(...MESSAGE_NAMES);
  fc.assert(
    fc.property(name, fc.jsonValue(), (name, value) => {
      const error = refusal(() => decodeRequest(name, toWire(value)));
      return error === undefined || REFUSALS.has(error.code);
    }),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(name, fc.jsonValue(), (name, value) => {
      const body = toWire(value);
      refusal(() => decodeResponse(name, body));
      refusal(() => decodeNotification(body));
      return true;
    }),
    { numRuns: 1000 },
  );
  t.end();
});

t.test("a valid message with anything put anywhere is decoded or refused with a code", (t) => {
  const bodies = recordedFrames.map(({ kind, name, body }) => ({ kind, name, body: unfold(body) }));
  fc.assert(
    fc.property(fc.nat(bodies.length - 1), fc.nat(), fc.jsonValue(), (index, which, value) => {
      const { kind, name, body } = bodies[index] ?? { kind: undefined, name: undefined, body: {} };
      const paths = pathsOf(body);
      const changed = toWire(withField(body, paths[which % paths.length] ?? [], value));
      const error = refusal(() => {
        if (kind === "notification" || name === undefined) decodeNotification(changed);
        else if (kind === "request") decodeRequest(name, changed);
        else decodeResponse(name, changed);
      });
      return error === undefined || REFUSALS.has(error.code);
    }),
    { numRuns: 3000 },
  );
  t.end();
});

t.test("any bytes at all are refused with a code", (t) => {
  fc.assert(
    fc.property(fc.constantFrom(...MESSAGE_NAMES), fc.uint8Array(), (name, bytes) => {
      return refusal(() => decodeRequest(name, bytes))?.code === "INVALID_JSON";
    }),
    { numRuns: 500 },
  );
  t.end();
});
