import { isUtf8 } from "node:buffer";
import type * as v from "valibot";
import { AgentError } from "../common/errors.ts";
import { parseJson, stringifyJson } from "../common/json.ts";
import { encodeFrame, HEADER_SIZE, MAXIMUM_SIZE_FROM_GUEST } from "./frame.ts";
import { errorResponseFields } from "./hresult.ts";
import {
  MESSAGES,
  type MessageName,
  NOTIFICATION_TYPE,
  nestedTextOf,
  requestTypeOf,
  responseTypeOf,
} from "./messages.ts";
import { type Notification, notification } from "./schemas/notification.ts";
import { type FailedResponse, failedResponse, type ResponseBase } from "./schemas/response.ts";
import { checkStrings } from "./strings.ts";
import { validate } from "./validate.ts";

/** A request as handlers see it: nested JSON strings parsed, nulls gone, everything checked that needs no state. */
export type RequestOf<Name extends MessageName> = v.InferOutput<(typeof MESSAGES)[Name]["request"]>;
/** A response that reports success. */
export type ResponseOf<Name extends MessageName> = v.InferOutput<(typeof MESSAGES)[Name]["response"]>;
/** What is the message's own in a response: what a handler returns. */
export type PayloadOf<Name extends MessageName> = Omit<ResponseOf<Name>, keyof FailedResponse>;
export type { FailedResponse, Notification };

type Body = Uint8Array | string;

/**
 * A request's body, parsed and checked.
 *
 * @throws AgentError INVALID_JSON (not JSON, or a field missing or of the wrong type: the message names its path),
 *   INVALID_ARGUMENT (a value out of bounds), INVALID_CONTAINER_ID, NOT_SUPPORTED (an unknown resource type).
 */
export function decodeRequest<Name extends MessageName>(name: Name, body: Body): RequestOf<Name> {
  const request = validate(MESSAGES[name].request, parseJson(textOf(body))) as RequestOf<Name>;
  checkStrings(request);
  return request;
}

/**
 * A response's body, parsed and checked. One whose Result is not 0 has the fields of a failed response only;
 * `isFailure` tells them apart and `errorFromResponse` (hresult.ts) makes an error of it.
 *
 * @throws AgentError INVALID_JSON, INVALID_ARGUMENT as for requests.
 */
export function decodeResponse<Name extends MessageName>(
  name: Name,
  body: Body,
): ResponseOf<Name> | FailedResponse {
  const value = parseJson(textOf(body));
  const base = validate(failedResponse, value);
  if (base.Result !== 0) return { ...base, ErrorMessage: base.ErrorMessage ?? "" };
  return validate(MESSAGES[name].response, value) as ResponseOf<Name>;
}

/** Whether a response reports a failure. */
export function isFailure<Success extends { Result: number }>(
  response: Success | FailedResponse,
): response is FailedResponse {
  return response.Result !== 0;
}

/** @throws AgentError INVALID_JSON, INVALID_ARGUMENT, INVALID_CONTAINER_ID */
export function decodeNotification(body: Body): Notification {
  return validate(notification, parseJson(textOf(body)));
}

/** The body of a request, nested objects in JSON strings as the wire wants them. */
export function encodeRequest<Name extends MessageName>(name: Name, request: RequestOf<Name>): string {
  return stringifyJson(withText(request, nestedTextOf(name, "request")));
}

/** The body of a response. */
export function encodeResponse<Name extends MessageName>(
  name: Name,
  response: ResponseOf<Name> | FailedResponse,
): string {
  return stringifyJson(withText(response, nestedTextOf(name, "response")));
}

export function encodeNotification(message: Notification): string {
  // Hosts parse ResultInfo as JSON, so an empty one would be an error to them.
  return stringifyJson(message.ResultInfo === "" ? { ...message, ResultInfo: undefined } : message);
}

/** A copy with the object at the end of the way printed as a JSON string, if there is one. */
function withText(object: object, [field, ...way]: readonly string[] = []): object {
  const value = field === undefined ? undefined : (object as Record<string, unknown>)[field];
  if (field === undefined || value === undefined) return object;
  return { ...object, [field]: way.length === 0 ? stringifyJson(value) : withText(value as object, way) };
}

export function encodeRequestFrame<Name extends MessageName>(
  name: Name,
  id: bigint,
  request: RequestOf<Name>,
): Buffer {
  return encodeFrame(requestTypeOf(name), id, encodeRequest(name, request));
}

/**
 * The frame of a response, never above the 64 KiB that hosts accept: stacks and process lists that do not fit are cut,
 * which is told; any other response that does not fit becomes a failed one that says how large it was.
 */
export function encodeResponseFrame<Name extends MessageName>(
  name: Name,
  id: bigint,
  response: ResponseOf<Name> | FailedResponse,
): Buffer {
  const type = responseTypeOf(name);
  const body = encodeResponse(name, response);
  const size = HEADER_SIZE + Buffer.byteLength(body);
  if (size <= MAXIMUM_SIZE_FROM_GUEST) return encodeFrame(type, id, body);
  const cut =
    ("GuestStacks" in response && cutStacks(response)) ||
    ("Properties" in response && cutProcessList(response as GetPropertiesResponse));
  return encodeFrame(type, id, cut || refuseSize(name, response, size));
}

/** The frame of a failed response to any request, known or not. */
export function encodeErrorFrame(
  requestType: number,
  id: bigint,
  error: unknown,
  activityId?: string,
): Buffer {
  const response = withActivityId(activityId, errorResponseFields(error));
  return encodeFrame(responseTypeOf(requestType), id, stringifyJson(response));
}

export function encodeNotificationFrame(message: Notification): Buffer {
  return encodeFrame(NOTIFICATION_TYPE, 0n, encodeNotification(message));
}

function cutStacks(response: { GuestStacks: string }): string {
  const { length } = response.GuestStacks;
  const cutTo = (kept: number): string => {
    const note = `\n... cut: ${kept} of ${length} characters fit into a reply`;
    return stringifyJson({ ...response, GuestStacks: response.GuestStacks.slice(0, kept) + note });
  };
  return longestThatFits(length, cutTo);
}

type GetPropertiesResponse = ResponseOf<"GetProperties">;

/** The first processes, and how many there are; undefined when that is not what is too large. */
function cutProcessList(response: GetPropertiesResponse): string | undefined {
  const { ProcessList = [], ...others } = response.Properties;
  const cutTo = (kept: number): string => {
    const Properties = {
      ...others,
      ProcessList: ProcessList.slice(0, kept),
      ProcessCount: ProcessList.length,
    };
    return encodeResponse("GetProperties", { ...response, Properties });
  };
  return fits(cutTo(0)) ? longestThatFits(ProcessList.length, cutTo) : undefined;
}

const fits = (body: string) => HEADER_SIZE + Buffer.byteLength(body) <= MAXIMUM_SIZE_FROM_GUEST;

/** Each of them takes one byte or more, a character up to six when escaped: searches for the most that fit. */
function longestThatFits(length: number, cutTo: (kept: number) => string): string {
  let fitting = 0;
  let tooMany = Math.min(length, MAXIMUM_SIZE_FROM_GUEST);
  while (tooMany - fitting > 1) {
    const middle = (fitting + tooMany) >> 1;
    if (fits(cutTo(middle))) fitting = middle;
    else tooMany = middle;
  }
  return cutTo(fitting);
}

function refuseSize(name: MessageName, response: ResponseBase, size: number): string {
  const doing = response.Result === 0 ? "the reply" : "the error reply";
  const error = new AgentError(
    "INTERNAL",
    `${doing} to ${name} has ${size} bytes, more than the ${MAXIMUM_SIZE_FROM_GUEST} that hosts accept`,
  );
  return stringifyJson(withActivityId(response.ActivityId, errorResponseFields(error)));
}

function withActivityId<Fields extends object>(ActivityId: string | undefined, fields: Fields) {
  return ActivityId ? { ActivityId, ...fields } : fields;
}

/** Requests with a longer one are refused, so no reply need echo it. */
const MAXIMUM_ACTIVITY_ID_LENGTH = 255;

/**
 * The activity id of a request's body that could not be decoded, so that the error reply can echo it: from the
 * JSON when it parses, else from the text as far as it is there. Never throws.
 */
export function activityIdOf(body: Body): string | undefined {
  const text = decode(body);
  let found: unknown;
  try {
    const value = parseJson(text);
    if (typeof value === "object" && value !== null && "ActivityId" in value) found = value.ActivityId;
  } catch {
    // Not JSON, which the request's own error says. In a nested JSON string the quotes would be escaped: no match.
    found = /"ActivityId"\s*:\s*"([^"\\]{1,255})"/.exec(text)?.[1];
  }
  return typeof found === "string" && found !== "" && found.length <= MAXIMUM_ACTIVITY_ID_LENGTH
    ? found
    : undefined;
}

/** @throws AgentError INVALID_JSON: a decoder would put something else in the place of what is no UTF-8. */
function textOf(body: Body): string {
  if (typeof body === "string" || isUtf8(body)) return decode(body);
  throw new AgentError("INVALID_JSON", "the body is not UTF-8");
}

function decode(body: Body): string {
  if (typeof body === "string") return body;
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8");
}
