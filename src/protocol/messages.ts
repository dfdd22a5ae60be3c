/*
 * A message type is 32 bits: 4 bits kind, 8 bits category (1: compute system), 12 bits message, 8 bits version (1).
 * A response is its request with the kind changed.
 */
const KIND_MASK = 0xf0000000;
const REQUEST = 0x10000000;
const RESPONSE = 0x20000000;
const NOTIFICATION = 0x30000000;

/** Every message a host may send, by the name used in this project and the type of its request. */
export const REQUEST_TYPES = {
  Create: 0x10100101,
  Start: 0x10100201,
  ShutdownGraceful: 0x10100301,
  ShutdownForced: 0x10100401,
  ExecuteProcess: 0x10100501,
  WaitForProcess: 0x10100601,
  SignalProcess: 0x10100701,
  ResizeConsole: 0x10100801,
  GetProperties: 0x10100901,
  ModifySettings: 0x10100a01,
  NegotiateProtocol: 0x10100b01,
  DumpStacks: 0x10100c01,
  DeleteContainerState: 0x10100d01,
} as const;

export type MessageName = keyof typeof REQUEST_TYPES;
export type MessageKind = "request" | "response" | "notification";

export const MESSAGE_NAMES = Object.keys(REQUEST_TYPES) as readonly MessageName[];

/** The one message that the guest sends unasked: a container has exited. */
export const NOTIFICATION_TYPE = NOTIFICATION + (REQUEST_TYPES.Create - REQUEST);

/** The vsock port on which a host listens for the bridge connection; stdio ports are allocated upwards from the next. */
export const BRIDGE_PORT = 0x40000000;

/** The one protocol version in use. */
export const PROTOCOL_VERSION = 4;

const names = new Map<number, MessageName>(MESSAGE_NAMES.map((name) => [REQUEST_TYPES[name], name]));

export function requestTypeOf(name: MessageName): number {
  return REQUEST_TYPES[name];
}

/** The type of the response to a message or to any request type, known or not. */
export function responseTypeOf(request: MessageName | number): number {
  const type = typeof request === "string" ? REQUEST_TYPES[request] : request;
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
