import { AgentError, type ErrorCode } from "../../common/errors.ts";
import { GuestError } from "../../protocol/hresult.ts";
import * as codes from "./error-codes.ts";

/** What the compute service or the guest told of an error. The stack trace is in no message. */
export interface ErrorEvent {
  readonly message: string;
  readonly stackTrace?: string;
  readonly provider?: string;
  readonly eventId?: number;
  readonly flags?: number;
  readonly source?: string;
}

/** Go's net.Error: who has these two answers for a time-out and for whether trying again may help. */
interface NetError {
  timeout(): boolean;
  temporary(): boolean;
}

/**
 * A compute service call that failed. `cause` leads to the reason: one of the codes in error-codes.ts when there is
 * one, and behind or instead of it whatever was thrown. `isError` and the questions below look along that chain.
 */
export class HcsError extends AgentError implements NetError {
  /** The call: "hcs::System::Start". */
  readonly op: string;
  declare readonly events: readonly ErrorEvent[];

  constructor(op: string, cause: unknown, events: readonly ErrorEvent[] = [], what = op) {
    const reason = reasonOf(cause);
    // What the reason tells already is not told twice, and where in the guest it was is nobody's who has not asked.
    const news = events.filter(({ message }) => message === "" || !reason.includes(message));
    super(agentCodeOf(cause), [`${what}: ${reason}`, ...news.map(formatEvent)].join("\n"));
    this.cause = cause;
    // The message tells all of it. Node, which prints an uncaught error's causes with their own messages, leaves out
    // what it would have to call for. Where there is a defect behind it, its stack is worth the repetition.
    if (!hasDefect(cause)) Object.defineProperty(this, "cause", { get: () => cause, enumerable: false });
    this.name = "HcsError";
    this.op = op;
    // Printed with the error they would tell its message again, and where in the guest it was.
    Object.defineProperty(this, "events", { value: events, enumerable: false });
  }

  /** Whether the reason says of itself that trying again may help. */
  temporary(): boolean {
    return netErrorIn(this.cause)?.temporary() ?? false;
  }

  /** Whether the reason says of itself that time ran out. False for ErrTimeout, as in hcsshim: see isTimeout. */
  timeout(): boolean {
    return netErrorIn(this.cause)?.timeout() ?? false;
  }
}

/** A call for a compute system that failed. */
export class SystemError extends HcsError {
  readonly id: string;

  constructor(id: string, op: string, cause: unknown, events: readonly ErrorEvent[] = []) {
    super(op, cause, events, `${op} ${id}`);
    this.name = "SystemError";
    this.id = id;
  }
}

/** A call for a process that failed. */
export class ProcessError extends HcsError {
  readonly systemId: string;
  readonly pid: number;

  constructor(systemId: string, pid: number, op: string, cause: unknown, events: readonly ErrorEvent[] = []) {
    super(op, cause, events, `${op} ${systemId}:${pid}`);
    this.name = "ProcessError";
    this.systemId = systemId;
    this.pid = pid;
  }
}

/** A SystemError for whatever was thrown, unless it is one. */
export function makeSystemError(id: string, op: string, thrown: unknown): SystemError {
  if (thrown instanceof SystemError) return thrown;
  return new SystemError(id, op, thrown, eventsOf(thrown));
}

/** A ProcessError for whatever was thrown, unless it is one. */
export function makeProcessError(systemId: string, pid: number, op: string, thrown: unknown): ProcessError {
  if (thrown instanceof ProcessError) return thrown;
  return new ProcessError(systemId, pid, op, thrown, eventsOf(thrown));
}

/** An HcsError for whatever was thrown, unless it is one. */
export function makeHcsError(op: string, thrown: unknown): HcsError {
  if (thrown instanceof HcsError) return thrown;
  return new HcsError(op, thrown, eventsOf(thrown));
}

/** An error of a code, whose message says more than the code's own. */
export function coded(code: codes.HcsErrorCode, message: string): AgentError {
  return new AgentError(agentCodeOf(code), message, { cause: code });
}

function eventsOf(thrown: unknown): ErrorEvent[] {
  if (!(thrown instanceof GuestError)) return [];
  return thrown.records.map((record) => ({
    message: record.Message ?? "",
    ...(record.StackTrace && { stackTrace: record.StackTrace }),
    ...(record.ModuleName && { provider: record.ModuleName }),
    ...(record.FileName && { source: `${record.FileName}:${record.Line ?? 0}` }),
  }));
}

function formatEvent(event: ErrorEvent): string {
  const parts = [
    ["Provider", event.provider],
    ["EventID", event.eventId],
    ["flags", event.flags],
    ["Source", event.source],
  ].filter(([, value]) => value !== undefined && value !== "" && value !== 0);
  return `[Event Detail: ${[event.message, ...parts.map(([name, value]) => `${name}: ${value}`)].join(" ")}]`;
}

/** What was thrown, in the words of all its causes; a code that stands behind a message only says it again. */
function reasonOf(thrown: unknown): string {
  const parts: string[] = [];
  for (const at of causesOf(thrown)) {
    if (at instanceof codes.HcsErrorCode && parts.length > 0) continue;
    const message = at instanceof Error ? at.message : String(at);
    if (!parts.some((part) => part.includes(message))) parts.push(message);
  }
  return parts.join(": ");
}

/** Whether something behind an error was not meant to be thrown: then where it was thrown is what counts. */
function hasDefect(thrown: unknown): boolean {
  const isMeant = (at: unknown) =>
    at instanceof AgentError || at instanceof codes.HcsErrorCode || at instanceof DOMException;
  for (const at of causesOf(thrown)) {
    const hasCode = at instanceof Error && "code" in at && typeof at.code === "string";
    if (at instanceof Error && !isMeant(at) && !hasCode) return true;
  }
  return false;
}

function* causesOf(thrown: unknown): Generator<unknown> {
  let at = thrown;
  for (let depth = 0; at !== undefined && at !== null && depth < LONGEST_CHAIN; depth++) {
    yield at;
    at = at instanceof Error ? at.cause : undefined;
  }
}

/** No chain of causes that is real is longer. */
const LONGEST_CHAIN = 16;

/** An error and its causes; and behind an error of this project's own what its code is to the compute service. */
function* chainOf(thrown: unknown): Generator<unknown> {
  let at = thrown;
  for (let depth = 0; at !== undefined && at !== null && depth < LONGEST_CHAIN; depth++) {
    yield at;
    const cause: unknown = at instanceof Error ? at.cause : undefined;
    if (at instanceof AgentError && !(at instanceof HcsError) && !(cause instanceof codes.HcsErrorCode)) {
      const code = codeOfOwn(at);
      if (code !== undefined) yield code;
    }
    at = cause;
  }
}

function codeOfOwn(error: AgentError): codes.HcsErrorCode | undefined {
  const code = codes.codeOfAgentError[error.code];
  return code === undefined && error instanceof GuestError ? codes.codeOfNumber(error.hresult) : code;
}

/** The code in an error's chain of causes, if there is one. */
export function codeOf(thrown: unknown): codes.HcsErrorCode | undefined {
  for (const at of chainOf(thrown)) if (at instanceof codes.HcsErrorCode) return at;
  return undefined;
}

function netErrorIn(thrown: unknown): NetError | undefined {
  for (const at of chainOf(thrown)) {
    if (at instanceof DOMException && at.name === "TimeoutError") return DEADLINE_EXCEEDED;
    if (typeof at === "object" && at !== null && "timeout" in at && typeof at.timeout === "function") {
      return at as NetError;
    }
  }
  return undefined;
}

/** What AbortSignal.timeout() aborts with; Go's context.DeadlineExceeded gives the same answers. */
const DEADLINE_EXCEEDED: NetError = { timeout: () => true, temporary: () => true };

function agentCodeOf(cause: unknown): ErrorCode {
  for (const at of chainOf(cause)) {
    if (at instanceof AgentError) return at.code;
    if (at instanceof codes.HcsErrorCode) return agentCodes.get(at) ?? "RUNTIME_FAILED";
  }
  return "INTERNAL";
}

const agentCodes = new Map<codes.HcsErrorCode, ErrorCode>([
  [codes.ErrComputeSystemDoesNotExist, "SYSTEM_NOT_FOUND"],
  [codes.ErrComputeSystemAlreadyExists, "SYSTEM_ALREADY_EXISTS"],
  [codes.ErrElementNotFound, "PROCESS_NOT_FOUND"],
  [codes.ErrNotSupported, "NOT_SUPPORTED"],
  [codes.ErrPlatformNotSupported, "NOT_SUPPORTED"],
  [codes.ErrInvalidData, "INVALID_DATA"],
  [codes.ErrHandleClose, "INVALID_STATE"],
  [codes.ErrAlreadyClosed, "INVALID_STATE"],
  [codes.ErrInvalidNotificationType, "INVALID_ARGUMENT"],
  [codes.ErrInvalidProcessState, "INVALID_STATE"],
  [codes.ErrTimeout, "TIMEOUT"],
  [codes.ErrUnexpectedContainerExit, "SYSTEM_ALREADY_STOPPED"],
  [codes.ErrUnexpectedProcessAbort, "TRANSPORT_CLOSED"],
  [codes.ErrVmcomputeAlreadyStopped, "SYSTEM_ALREADY_STOPPED"],
  [codes.ErrVmcomputeSystemAlreadyStopped, "SYSTEM_ALREADY_STOPPED"],
  [codes.ErrVmcomputeOperationInvalidState, "INVALID_STATE"],
  [codes.ErrVmcomputeInvalidJSON, "INVALID_JSON"],
  [codes.ErrVmcomputeUnknownMessage, "UNKNOWN_MESSAGE"],
  [codes.ErrVmcomputeUnexpectedExit, "TRANSPORT_CLOSED"],
  [codes.ErrProcessAlreadyStopped, "PROCESS_NOT_FOUND"],
]);

/** Whether an error is, or was caused by, one of these. Codes with the same number are the same. */
export function isError(thrown: unknown, ...targets: readonly unknown[]): boolean {
  for (const at of chainOf(thrown)) {
    for (const target of targets) {
      if (at === target) return true;
      const same = at instanceof codes.HcsErrorCode && target instanceof codes.HcsErrorCode;
      if (same && at.number !== undefined && at.number === target.number) return true;
    }
  }
  return false;
}

/** The system or process does not exist. ErrElementNotFound makes this and isAlreadyStopped true: nobody can tell. */
export function isNotExist(thrown: unknown): boolean {
  return isError(thrown, codes.ErrComputeSystemDoesNotExist, codes.ErrElementNotFound);
}

/** The handle of the system or process was closed by close(). */
export function isAlreadyClosed(thrown: unknown): boolean {
  return isError(thrown, codes.ErrAlreadyClosed);
}

/** The operation goes on in the background. */
export function isPending(thrown: unknown): boolean {
  return isError(thrown, codes.ErrVmcomputeOperationPending);
}

/** Time ran out: ours (ErrTimeout), or that of a signal from AbortSignal.timeout(). */
export function isTimeout(thrown: unknown): boolean {
  return isError(thrown, codes.ErrTimeout) || (netErrorIn(thrown)?.timeout() ?? false);
}

/** The system or process has stopped already. */
export function isAlreadyStopped(thrown: unknown): boolean {
  return isError(
    thrown,
    codes.ErrVmcomputeAlreadyStopped,
    codes.ErrVmcomputeSystemAlreadyStopped,
    codes.ErrProcessAlreadyStopped,
    codes.ErrElementNotFound,
  );
}

/** The platform, the driver or the guest does not know the request or a part of it. */
export function isNotSupported(thrown: unknown): boolean {
  return isError(
    thrown,
    codes.ErrVmcomputeInvalidJSON,
    codes.ErrInvalidData,
    codes.ErrNotSupported,
    codes.ErrVmcomputeUnknownMessage,
  );
}

/** The system is not in a state for the operation. */
export function isOperationInvalidState(thrown: unknown): boolean {
  return isError(thrown, codes.ErrVmcomputeOperationInvalidState);
}

/** Access was denied. */
export function isAccessIsDenied(thrown: unknown): boolean {
  return isError(thrown, codes.ErrVmcomputeOperationAccessIsDenied);
}

/** The handle is closed or was none; hcsshim's IsErrorInvalidHandle. */
export function isErrorInvalidHandle(thrown: unknown): boolean {
  return isError(thrown, codes.ErrInvalidHandle);
}
