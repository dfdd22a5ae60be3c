/**
 * The one error class of this project, a leaf that every room may import. `code` is stable and documented in docs/protocol.md, where each code's
 * HRESULT stands; `message` is for people and names the thing and, where there is one, the remedy; `cause`
 * keeps what led here. Anything else that is thrown is a defect and is reported as E_FAIL.
 */
export type ErrorCode =
  // what the host sent
  | "INVALID_JSON"
  | "INVALID_ARGUMENT"
  | "INVALID_DATA"
  | "UNKNOWN_MESSAGE"
  | "UNSUPPORTED_PROTOCOL_VERSION"
  | "NOT_SUPPORTED"
  | "INVALID_FRAME"
  // compute systems and processes
  | "SYSTEM_NOT_FOUND"
  | "SYSTEM_ALREADY_EXISTS"
  | "SYSTEM_ALREADY_STOPPED"
  | "INVALID_STATE"
  | "PROCESS_NOT_FOUND"
  | "NOT_A_TERMINAL"
  | "TIMEOUT"
  // starting a process: start-failure.ts
  | "COMMAND_NOT_FOUND"
  | "COMMAND_NOT_EXECUTABLE"
  | "INVALID_WORKING_DIRECTORY"
  | "INVALID_USER"
  // the runtime's contract
  | "CONTAINER_ALREADY_EXISTS"
  | "CONTAINER_DOES_NOT_EXIST"
  | "CONTAINER_STILL_RUNNING"
  | "CONTAINER_NOT_RUNNING"
  | "CONTAINER_NOT_STOPPED"
  | "INVALID_CONTAINER_ID"
  | "RUNTIME_FAILED"
  // the machine
  | "HELPER_FAILED"
  | "HELPER_TIMEOUT"
  | "SPAWN_FAILED"
  | "DIAL_FAILED"
  | "TRANSPORT_CLOSED"
  | "SYSTEM_CALL_FAILED"
  | "DEVICE_NOT_FOUND"
  | "NAMESPACE_NOT_FOUND"
  | "MOUNT_FAILED"
  | "CGROUP_UNAVAILABLE"
  | "ABORTED"
  | "INTERNAL";

/** What console.log() and Node's report of an uncaught error ask an object for. */
const inspect: unique symbol = Symbol.for("nodejs.util.inspect.custom") as never;

export class AgentError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "AgentError";
    this.code = code;
  }

  /** Each text once, with its stack, where Node would print the same message for every cause. */
  [inspect](): string {
    const parts: string[] = [];
    for (const at of chainOf(this)) {
      if (!parts.some((part) => part.includes(messageOf(at)))) parts.push(formatOne(at));
    }
    return parts.join("\n  caused by: ");
  }
}

/** No chain of causes that is real is longer. */
const LONGEST_CHAIN = 8;

/** Whatever was thrown, and its causes. */
function* chainOf(thrown: unknown): Generator<unknown> {
  let at = thrown;
  for (let depth = 0; at !== undefined && at !== null && depth < LONGEST_CHAIN; depth++) {
    yield at;
    at = at instanceof Error ? at.cause : undefined;
  }
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** `NAME [CODE]: message` and the frames, which the head of `stack` would repeat otherwise. */
function formatOne(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const { name, message, stack = "" } = thrown;
  const code = "code" in thrown && typeof thrown.code === "string" ? ` [${thrown.code}]` : "";
  const at = stack.indexOf(message);
  return `${name}${code}: ${message}${at < 0 ? "" : stack.slice(at + message.length)}`;
}

/** The message of whatever was thrown, with the messages of its causes, outermost first. */
export function describeError(thrown: unknown): string {
  const parts: string[] = [];
  for (const at of chainOf(thrown)) {
    const message = messageOf(at);
    if (!parts.some((part) => part.includes(message))) parts.push(message);
  }
  return parts.join(": ");
}
