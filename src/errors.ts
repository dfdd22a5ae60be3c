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
  | "MOUNT_FAILED"
  | "CGROUP_UNAVAILABLE"
  | "NETWORK_FAILED"
  | "ABORTED"
  | "INTERNAL";

export class AgentError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = "AgentError";
    this.code = code;
  }
}

/** The message of whatever was thrown, with the messages of its causes, outermost first. */
export function describeError(thrown: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = thrown, depth = 0; at !== undefined && at !== null && depth < 8; depth++) {
    const message = at instanceof Error ? at.message : String(at);
    if (!parts.some((part) => part.includes(message))) parts.push(message);
    at = at instanceof Error ? at.cause : undefined;
  }
  return parts.join(": ");
}
