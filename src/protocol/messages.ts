import type * as v from "valibot";
import * as lifecycle from "./schemas/lifecycle.ts";
import { modifyRequest } from "./schemas/modify-settings.ts";
import * as processes from "./schemas/process.ts";
import { getPropertiesRequest, getPropertiesResponse } from "./schemas/properties.ts";

/*
 * A message type is 32 bits: 4 bits kind, 8 bits category (1: compute system), 12 bits message, 8 bits version (1).
 * A response is its request with the kind changed.
 */
const KIND_MASK = 0xf0000000;
const REQUEST = 0x10000000;
const RESPONSE = 0x20000000;
const NOTIFICATION = 0x30000000;

interface MessageRow {
  readonly type: number;
  readonly request: v.GenericSchema<unknown, unknown>;
  readonly response: v.GenericSchema<unknown, unknown>;
  /** Where a request has an object that travels as JSON in a string: the way to the field. */
  readonly requestText?: readonly string[];
  /** The same of a response. */
  readonly responseText?: readonly string[];
}

/**
 * Every message a host may send, by the name used in this project: the type of its request, the schemas of its request
 * and of a response that reports success. Static types, handlers, checks and documentation all follow this table.
 */
export const MESSAGES = {
  Create: {
    type: 0x10100101,
    request: lifecycle.createRequest,
    response: lifecycle.createResponse,
    requestText: ["ContainerConfig"],
  },
  Start: { type: 0x10100201, request: lifecycle.plainRequest, response: lifecycle.plainResponse },
  ShutdownGraceful: { type: 0x10100301, request: lifecycle.plainRequest, response: lifecycle.plainResponse },
  ShutdownForced: { type: 0x10100401, request: lifecycle.plainRequest, response: lifecycle.plainResponse },
  ExecuteProcess: {
    type: 0x10100501,
    request: processes.executeRequest,
    response: processes.executeResponse,
    requestText: ["Settings", "ProcessParameters"],
  },
  WaitForProcess: { type: 0x10100601, request: processes.waitRequest, response: processes.waitResponse },
  SignalProcess: { type: 0x10100701, request: processes.signalRequest, response: lifecycle.plainResponse },
  ResizeConsole: { type: 0x10100801, request: processes.resizeRequest, response: lifecycle.plainResponse },
  GetProperties: {
    type: 0x10100901,
    request: getPropertiesRequest,
    response: getPropertiesResponse,
    requestText: ["Query"],
    responseText: ["Properties"],
  },
  ModifySettings: { type: 0x10100a01, request: modifyRequest, response: lifecycle.plainResponse },
  NegotiateProtocol: {
    type: 0x10100b01,
    request: lifecycle.negotiateRequest,
    response: lifecycle.negotiateResponse,
  },
  DumpStacks: {
    type: 0x10100c01,
    request: lifecycle.dumpStacksRequest,
    response: lifecycle.dumpStacksResponse,
  },
  DeleteContainerState: {
    type: 0x10100d01,
    request: lifecycle.plainRequest,
    response: lifecycle.plainResponse,
  },
} as const satisfies Record<string, MessageRow>;

export type MessageName = keyof typeof MESSAGES;
export type MessageKind = "request" | "response" | "notification";

export const MESSAGE_NAMES = Object.keys(MESSAGES) as readonly MessageName[];

/** The one message that the guest sends unasked: a container has exited. */
export const NOTIFICATION_TYPE = NOTIFICATION + (MESSAGES.Create.type - REQUEST);

/** The way to the object of a request or response that travels as JSON in a string, as the message's row has it. */
export function nestedTextOf(name: MessageName, kind: "request" | "response"): readonly string[] | undefined {
  const row: MessageRow = MESSAGES[name];
  return kind === "request" ? row.requestText : row.responseText;
}

/** The vsock port on which a host listens for the bridge connection; stdio ports are allocated upwards from the next. */
export const BRIDGE_PORT = 0x40000000;

/** The one protocol version in use. */
export const PROTOCOL_VERSION = 4;

const names = new Map<number, MessageName>(MESSAGE_NAMES.map((name) => [MESSAGES[name].type, name]));

export function requestTypeOf(name: MessageName): number {
  return MESSAGES[name].type;
}

/** The type of the response to a message or to any request type, known or not. */
export function responseTypeOf(request: MessageName | number): number {
  const type = typeof request === "string" ? MESSAGES[request].type : request;
  return (RESPONSE | (type & ~KIND_MASK)) >>> 0;
}

/** The name of a request's or response's type; undefined when no such message is known (a notification has none). */
export function messageNameOf(type: number): MessageName | undefined {
  return names.get(kindOf(type) === "response" ? type - (RESPONSE - REQUEST) : type);
}

/** undefined when the four bits name no kind. */
export function kindOf(type: number): MessageKind | undefined {
  switch ((type & KIND_MASK) >>> 0) {
    case REQUEST:
      return "request";
    case RESPONSE:
      return "response";
    case NOTIFICATION:
      return "notification";
    default:
      return undefined;
  }
}

/** "Create request", "unknown type 0x10100e01": for messages and logs. */
export function describeType(type: number): string {
  if (type === NOTIFICATION_TYPE) return "container notification";
  const name = messageNameOf(type);
  return name ? `${name} ${kindOf(type)}` : `unknown type 0x${type.toString(16).padStart(8, "0")}`;
}
