import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { AgentError, type ErrorCode } from "../../../src/common/errors.ts";
import { parseJson, stringifyJson } from "../../../src/common/json.ts";
import {
  decodeNotification,
  decodeRequest,
  decodeResponse,
  encodeErrorFrame,
  encodeNotification,
  encodeRequest,
  encodeResponse,
  encodeResponseFrame,
  isFailure,
} from "../../../src/protocol/codec.ts";
import { MAXIMUM_SIZE_FROM_GUEST } from "../../../src/protocol/frame.ts";
import { errorFromResponse, fromSigned, HResult } from "../../../src/protocol/hresult.ts";
import { MESSAGE_NAMES, type MessageName, requestTypeOf } from "../../../src/protocol/messages.ts";
import { sampleRequest, toWire } from "../../protocol/mutations.ts";
import { recordedFrames, unfold } from "../../protocol/transcript.ts";
import {
  editFields,
  editText,
  type FieldEdit,
  fieldEdits,
  type TextEdit,
  textEdits,
} from "../generators/edits.ts";
import { hold, property } from "../target.ts";

type Kind = "request" | "response" | "notification";

interface Input {
  readonly kind: Kind;
  readonly name: MessageName;
  readonly fields: readonly FieldEdit[];
  readonly text: readonly TextEdit[];
}

/** The codes with which a body may be refused. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set([
  "INVALID_JSON",
  "INVALID_ARGUMENT",
  "INVALID_CONTAINER_ID",
  "NOT_SUPPORTED",
]);
export const KNOWN_RESULTS: ReadonlySet<number> = new Set(Object.values(HResult));

function recorded(kind: Kind, name?: MessageName): unknown {
  const bodies = recordedFrames.filter((frame) => frame.kind === kind && (!name || frame.name === name));
  const longest = bodies.map(({ body }) => stringifyJson(body)).sort((a, b) => b.length - a.length)[0];
  return longest === undefined ? { Result: 0 } : unfold(JSON.parse(longest));
}

const samples = new Map<string, unknown>();

/** Of each kind and name the longest that a real host and a real guest have said. */
export function sample(kind: Kind, name: MessageName): unknown {
  const key = `${kind} ${name}`;
  const known =
    samples.get(key) ??
    (kind === "request" ? sampleRequest(name) : recorded(kind, kind === "response" ? name : undefined));
  samples.set(key, known);
  return known;
}

const inputs: fc.Arbitrary<Input> = fc.record({
  kind: fc.constantFrom<Kind>("request", "request", "response", "notification"),
  name: fc.constantFrom(...MESSAGE_NAMES),
  fields: fieldEdits,
  text: textEdits,
});

function decode({ kind, name }: Input, body: string): { decoded: object; encoded: string } {
  if (kind === "notification") {
    const decoded = decodeNotification(body);
    return { decoded, encoded: encodeNotification(decoded) };
  }
  if (kind === "request") {
    const decoded = decodeRequest(name, body);
    return { decoded, encoded: encodeRequest(name, decoded as never) };
  }
  const decoded = decodeResponse(name, body);
  if (isFailure(decoded)) checkFailure(name, decoded);
  checkSize(encodeResponseFrame(name, 1n, decoded));
  return { decoded, encoded: encodeResponse(name, decoded) };
}

function checkFailure(name: MessageName, response: Parameters<typeof errorFromResponse>[0]): void {
  const error = errorFromResponse(response, `a ${name}`);
  hold(
    !/[\x00-\x09\x0b-\x1f\x7f-\x9f]/.test(error.message),
    "control characters of the guest's in a message",
  );
}

function checkSize(frame: Buffer): void {
  hold(frame.length <= MAXIMUM_SIZE_FROM_GUEST, () => `a reply of ${frame.length} bytes`);
}

/** A refusal has a code, and becomes a reply that a host can read. */
function checkRefusal(input: Input, error: unknown): void {
  if (!(error instanceof AgentError)) throw error;
  hold(REFUSALS.has(error.code), () => `refused with ${error.code}: ${error.message}`);
  const frame = encodeErrorFrame(requestTypeOf(input.name), 1n, error);
  checkSize(frame);
  const reply = decodeResponse(input.name, frame.subarray(16));
  hold(KNOWN_RESULTS.has(fromSigned(reply.Result)), `the HRESULT ${reply.Result}`);
}

/** A field that is undefined is as good as absent, and their order means nothing. */
const plain = (value: unknown): unknown => parseJson(stringifyJson(value));

export const messages = property<Input>({
  inputs,
  check(input) {
    const value = editFields(sample(input.kind, input.name), input.fields);
    const body = editText(toWire(value), input.text);
    let first: ReturnType<typeof decode>;
    try {
      first = decode(input, body);
    } catch (error) {
      checkRefusal(input, error);
      return;
    }
    const again = decode(input, first.encoded);
    hold(
      isDeepStrictEqual(plain(again.decoded), plain(first.decoded)),
      () => `${stringifyJson(first.decoded)} came back as ${stringifyJson(again.decoded)}`,
    );
  },
});
