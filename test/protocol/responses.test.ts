import t from "tap";
import { AgentError } from "../../src/common/errors.ts";
import {
  activityIdOf,
  decodeNotification,
  decodeResponse,
  encodeErrorFrame,
  encodeNotificationFrame,
  encodeRequestFrame,
  encodeResponseFrame,
  isFailure,
} from "../../src/protocol/codec.ts";
import { type Frame, FrameDecoder, MAXIMUM_SIZE_FROM_GUEST } from "../../src/protocol/frame.ts";
import { errorFromResponse, errorResponseFields } from "../../src/protocol/hresult.ts";

const ActivityId = "11111111-2222-3333-4444-555555555555";

/** As hosts read: any larger frame ends the connection. */
function readAsHost(bytes: Buffer): Frame {
  const frames: Frame[] = [];
  new FrameDecoder({ maximumSize: MAXIMUM_SIZE_FROM_GUEST }).push(bytes, (frame) => frames.push(frame));
  const [frame] = frames;
  if (!frame || frames.length !== 1) throw new Error(`${frames.length} frames`);
  return frame;
}

t.test("a reply is a frame with the response's type, the request's id and its activity id", (t) => {
  const frame = readAsHost(
    encodeResponseFrame("WaitForProcess", 7n, { Result: 0, ActivityId, ExitCode: 143 }),
  );
  t.equal(frame.type, 0x20100601);
  t.equal(frame.id, 7n);
  t.same(decodeResponse("WaitForProcess", frame.body), { Result: 0, ActivityId, ExitCode: 143 });
  t.end();
});

t.test("stacks that do not fit are cut, with a note, and use most of the room there is", (t) => {
  for (const text of ["goroutine line\n".repeat(20_000), "\u0001".repeat(60_000), "é😀".repeat(50_000)]) {
    const bytes = encodeResponseFrame("DumpStacks", 1n, { Result: 0, ActivityId, GuestStacks: text });
    const response = decodeResponse("DumpStacks", readAsHost(bytes).body);
    if (isFailure(response)) return t.fail("it failed");
    t.ok(bytes.length > MAXIMUM_SIZE_FROM_GUEST * 0.9, `${bytes.length} bytes`);
    const [kept = "", note = ""] = response.GuestStacks.split("\n... cut: ");
    t.ok(text.toWellFormed().startsWith(kept.toWellFormed().replace(/\ufffd$/, "")), "the beginning is kept");
    t.equal(note, `${kept.length} of ${text.length} characters fit into a reply`);
  }
  const whole = encodeResponseFrame("DumpStacks", 1n, { Result: 0, GuestStacks: "short" });
  t.match(decodeResponse("DumpStacks", readAsHost(whole).body), { GuestStacks: "short" });
  return t.end();
});

t.test("a reply of exactly 64 KiB is sent, one byte more is not", (t) => {
  const overhead = encodeResponseFrame("DumpStacks", 1n, { Result: 0, GuestStacks: "" }).length;
  const stacks = (size: number) => ({ Result: 0, GuestStacks: "x".repeat(size - overhead) });
  const fits = encodeResponseFrame("DumpStacks", 1n, stacks(MAXIMUM_SIZE_FROM_GUEST));
  t.equal(fits.length, MAXIMUM_SIZE_FROM_GUEST);
  t.notMatch(fits.toString(), "... cut: ");
  t.match(encodeResponseFrame("DumpStacks", 1n, stacks(MAXIMUM_SIZE_FROM_GUEST + 1)).toString(), "... cut: ");
  t.end();
});

t.test("what does not fit and is no list becomes a failure that says how large it was", (t) => {
  const text = "x".repeat(70_000);
  const response = { Result: 0, ActivityId, Properties: { LCOWMetrics: { text } } };
  const reply = decodeResponse(
    "GetProperties",
    readAsHost(encodeResponseFrame("GetProperties", 1n, response)).body,
  );
  if (!isFailure(reply)) return t.fail("it succeeded");
  t.equal(reply.ActivityId, ActivityId);
  t.match(
    errorFromResponse(reply).message,
    /GetProperties has 70\d+ bytes, more than the 65536 that hosts accept/,
  );
  return t.end();
});

t.test("an error fits whatever its message quotes", (t) => {
  const cause = new Error("\u0002".repeat(1_000_000));
  const error = new AgentError("MOUNT_FAILED", "x".repeat(1_000_000), { cause });
  const frame = readAsHost(encodeErrorFrame(0x10100a01, 4n, error, ActivityId));
  t.equal(frame.type, 0x20100a01);
  t.match(decodeResponse("ModifySettings", frame.body), { Result: 0x80004005 | 0, ActivityId });
  const failed = { ActivityId, ...errorResponseFields(error), ErrorMessage: "y".repeat(100_000) };
  t.match(decodeResponse("Start", readAsHost(encodeResponseFrame("Start", 4n, failed)).body), { ActivityId });
  t.end();
});

t.test("an unknown message is answered with the type its response would have", (t) => {
  const error = new AgentError("UNKNOWN_MESSAGE", "unknown type 0x10100e01");
  const frame = readAsHost(encodeErrorFrame(0x10100e01, 9n, error));
  t.equal(frame.type, 0x20100e01);
  t.match(JSON.parse(frame.body.toString()), {
    Result: -2147467263,
    ErrorMessage: "unknown type 0x10100e01",
  });
  t.end();
});

t.test("a success without its fields is no success", (t) => {
  t.throws(() => decodeResponse("ExecuteProcess", '{"Result":0}'), {
    code: "INVALID_JSON",
    message: "ProcessId is missing",
  });
  t.throws(() => decodeResponse("GetProperties", '{"Result":0,"Properties":"{"}'), { code: "INVALID_JSON" });
  t.throws(() => decodeResponse("Start", "{}"), { code: "INVALID_JSON", message: "Result is missing" });
  t.same(
    decodeResponse("ExecuteProcess", '{"Result":-1}'),
    { Result: -1, ErrorMessage: "" },
    "a failure needs none",
  );
  t.end();
});

t.test("the exit notification has id 0 and never an empty ResultInfo", (t) => {
  const message = { ContainerId: "abc", Type: "GracefulExit", Operation: "None", Result: 0, ResultInfo: "" };
  const frame = readAsHost(encodeNotificationFrame(message));
  t.equal(frame.type, 0x30100101);
  t.equal(frame.id, 0n);
  t.equal(frame.body.toString(), '{"ContainerId":"abc","Type":"GracefulExit","Operation":"None","Result":0}');
  t.same(decodeNotification(frame.body).Type, "GracefulExit");
  t.end();
});

t.test("a request is a frame of its own", (t) => {
  const frame = readAsHost(
    encodeRequestFrame("GetProperties", 12n, { ContainerId: "a", Query: { PropertyTypes: ["X"] } }),
  );
  t.equal(frame.type, 0x10100901);
  t.equal(frame.body.toString(), '{"ContainerId":"a","Query":"{\\"PropertyTypes\\":[\\"X\\"]}"}');
  t.end();
});

t.test("the activity id is found in what cannot be decoded, as far as it is there", (t) => {
  t.equal(activityIdOf(`{"ActivityId":"${ActivityId}","ContainerId":5}`), ActivityId);
  t.equal(
    activityIdOf(Buffer.from(`{"a":1,"ActivityId" : "${ActivityId}","Contai`)),
    ActivityId,
    "cut short",
  );
  t.equal(
    activityIdOf(`{"ContainerConfig":"{\\"ActivityId\\":\\"nested\\"}","ActivityId":"${ActivityId}",`),
    ActivityId,
  );
  for (const body of [
    "",
    "null",
    "[]",
    "{",
    '{"ActivityId":5}',
    '{"ActivityId":""}',
    "\0\xff",
    `{"ActivityId":"${"x".repeat(300)}"}`,
  ]) {
    t.equal(activityIdOf(body), undefined, body.slice(0, 20));
  }
  t.end();
});

t.test("of a process list the first that fit are sent, and how many there are", (t) => {
  const pids = Array.from({ length: 6000 }, (_, index) => ({ ProcessId: 100_000 + index }));
  const LCOWMetrics = { pids: { current: 6000 } };
  const bytes = encodeResponseFrame("GetProperties", 1n, {
    Result: 0,
    Properties: { ProcessList: pids, LCOWMetrics },
  });
  const reply = decodeResponse("GetProperties", readAsHost(bytes).body);
  if (isFailure(reply)) return t.fail("it failed");
  const { Properties } = reply;
  const sent = Properties.ProcessList ?? [];
  t.ok(sent.length > 2000, `${sent.length} processes`);
  t.same(sent, pids.slice(0, sent.length));
  t.match(Properties, { ProcessCount: 6000, LCOWMetrics });
  const few = encodeResponseFrame("GetProperties", 1n, {
    Result: 0,
    Properties: { ProcessList: pids.slice(0, 3) },
  });
  t.match(decodeResponse("GetProperties", readAsHost(few).body), {
    Properties: { ProcessList: pids.slice(0, 3) },
  });
  t.notMatch(few.toString(), "ProcessCount");
  return t.end();
});
