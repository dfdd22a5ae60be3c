import t from "tap";
import { parseJson, stringifyJson } from "../../src/common/json.ts";
import {
  decodeNotification,
  decodeRequest,
  decodeResponse,
  encodeNotification,
  encodeRequest,
  encodeResponse,
  isFailure,
} from "../../src/protocol/codec.ts";
import { fromSigned } from "../../src/protocol/hresult.ts";
import { MESSAGE_NAMES } from "../../src/protocol/messages.ts";
import { type RecordedFrame, recordedFrames, unfold } from "./transcript.ts";

function throughTheCodec({ kind, name, body }: RecordedFrame): string {
  const text = stringifyJson(body);
  if (kind === "notification") return encodeNotification(decodeNotification(text));
  if (name === undefined) throw new Error("the recording has a message without a name");
  if (kind === "request") return encodeRequest(name, decodeRequest(name, Buffer.from(text)));
  return encodeResponse(name, decodeResponse(name, Buffer.from(text)));
}

t.test(
  "every frame that a real host and a real guest exchanged decodes and encodes to the same JSON",
  (t) => {
    for (const frame of recordedFrames) {
      t.strictSame(
        unfold(parseJson(throughTheCodec(frame))),
        unfold(frame.body),
        `${frame.direction} ${frame.name ?? "notification"} ${frame.id}`,
      );
    }
    t.end();
  },
);

t.test("what is a string of JSON on the wire is one again after encoding", (t) => {
  for (const frame of recordedFrames) {
    const body = parseJson(throughTheCodec(frame)) as Record<string, unknown>;
    for (const field of ["ContainerConfig", "Query", "Properties"]) {
      t.equal(typeof body[field], typeof frame.body[field], `${frame.name ?? "notification"}.${field}`);
    }
  }
  t.end();
});

t.test("the recording speaks of every message and of failures", (t) => {
  const names = new Set(recordedFrames.map((frame) => frame.name));
  for (const name of MESSAGE_NAMES) t.ok(names.has(name), name);
  const failures = recordedFrames.flatMap(({ kind, name, body }) => {
    const response = kind === "response" && name ? decodeResponse(name, stringifyJson(body)) : undefined;
    return response && isFailure(response) ? [fromSigned(response.Result)] : [];
  });
  t.ok(failures.includes(0xc037010e), "does not exist");
  t.ok(failures.includes(0x80070490), "not found");
  t.ok(failures.includes(0x80004005), "failure");
  t.end();
});
