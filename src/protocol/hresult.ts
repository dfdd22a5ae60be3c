import { AgentError, describeError, type ErrorCode } from "../common/errors.ts";
import { printable, printableLines } from "../common/printable.ts";
import { startFailureOf } from "../common/start-failure.ts";
import type { ErrorRecord, ResponseBase } from "./schemas/response.ts";

/** The HRESULTs that guests answer with, unsigned. Names and values: Microsoft's MS-ERREF and HCS reference. */
export const HResult = {
  OK: 0,
  NOT_IMPLEMENTED: 0x80004001,
  FAIL: 0x80004005,
  INVALID_DATA: 0x8007000d,
  INVALID_ARGUMENT: 0x80070057,
  NOT_FOUND: 0x80070490,
  /** From the guest; hosts also know it as INVALID_STATE_HOST. */
  INVALID_STATE: 0x80370105,
  PENDING: 0xc0370103,
  INVALID_STATE_HOST: 0xc0370105,
  UNEXPECTED_EXIT: 0xc0370106,
  TIMEOUT: 0xc0370109,
  UNKNOWN_MESSAGE: 0xc037010b,
  UNSUPPORTED_PROTOCOL_VERSION: 0xc037010c,
  INVALID_JSON: 0xc037010d,
  SYSTEM_NOT_FOUND: 0xc037010e,
  SYSTEM_ALREADY_EXISTS: 0xc037010f,
  SYSTEM_ALREADY_STOPPED: 0xc0370110,
} as const;

const byCode: Record<ErrorCode, number> = {
  INVALID_JSON: HResult.INVALID_JSON,
  INVALID_ARGUMENT: HResult.INVALID_ARGUMENT,
  INVALID_DATA: HResult.INVALID_DATA,
  // Not UNKNOWN_MESSAGE: hcsshim's guest answers E_NOTIMPL to a message it does not know and to one that comes before negotiation.
  UNKNOWN_MESSAGE: HResult.NOT_IMPLEMENTED,
  UNSUPPORTED_PROTOCOL_VERSION: HResult.UNSUPPORTED_PROTOCOL_VERSION,
  NOT_SUPPORTED: HResult.NOT_IMPLEMENTED,
  INVALID_FRAME: HResult.FAIL,
  SYSTEM_NOT_FOUND: HResult.SYSTEM_NOT_FOUND,
  SYSTEM_ALREADY_EXISTS: HResult.SYSTEM_ALREADY_EXISTS,
  SYSTEM_ALREADY_STOPPED: HResult.SYSTEM_ALREADY_STOPPED,
  INVALID_STATE: HResult.INVALID_STATE,
  PROCESS_NOT_FOUND: HResult.NOT_FOUND,
  NOT_A_TERMINAL: HResult.FAIL,
  TIMEOUT: HResult.TIMEOUT,
  // As hcsshim's guest answers all that its runtime says.
  COMMAND_NOT_FOUND: HResult.FAIL,
  COMMAND_NOT_EXECUTABLE: HResult.FAIL,
  INVALID_WORKING_DIRECTORY: HResult.FAIL,
  INVALID_USER: HResult.FAIL,
  CONTAINER_ALREADY_EXISTS: HResult.SYSTEM_ALREADY_EXISTS,
  CONTAINER_DOES_NOT_EXIST: HResult.SYSTEM_NOT_FOUND,
  CONTAINER_STILL_RUNNING: HResult.INVALID_STATE,
  CONTAINER_NOT_RUNNING: HResult.SYSTEM_ALREADY_STOPPED,
  CONTAINER_NOT_STOPPED: HResult.INVALID_STATE,
  INVALID_CONTAINER_ID: HResult.INVALID_ARGUMENT,
  RUNTIME_FAILED: HResult.FAIL,
  HELPER_FAILED: HResult.FAIL,
  HELPER_TIMEOUT: HResult.FAIL,
  SPAWN_FAILED: HResult.FAIL,
  DIAL_FAILED: HResult.FAIL,
  TRANSPORT_CLOSED: HResult.FAIL,
  SYSTEM_CALL_FAILED: HResult.FAIL,
  DEVICE_NOT_FOUND: HResult.FAIL,
  NAMESPACE_NOT_FOUND: HResult.NOT_FOUND,
  MOUNT_FAILED: HResult.FAIL,
  CGROUP_UNAVAILABLE: HResult.FAIL,
  ABORTED: HResult.FAIL,
  INTERNAL: HResult.FAIL,
};

/** What a host makes of a guest's HRESULT. */
const codes = new Map<number, ErrorCode>([
  [HResult.NOT_IMPLEMENTED, "NOT_SUPPORTED"],
  [HResult.INVALID_DATA, "INVALID_DATA"],
  [HResult.INVALID_ARGUMENT, "INVALID_ARGUMENT"],
  [HResult.NOT_FOUND, "PROCESS_NOT_FOUND"],
  [HResult.INVALID_STATE, "INVALID_STATE"],
  [HResult.INVALID_STATE_HOST, "INVALID_STATE"],
  [HResult.TIMEOUT, "TIMEOUT"],
  [HResult.UNKNOWN_MESSAGE, "UNKNOWN_MESSAGE"],
  [HResult.UNSUPPORTED_PROTOCOL_VERSION, "UNSUPPORTED_PROTOCOL_VERSION"],
  [HResult.INVALID_JSON, "INVALID_JSON"],
  [HResult.SYSTEM_NOT_FOUND, "SYSTEM_NOT_FOUND"],
  [HResult.SYSTEM_ALREADY_EXISTS, "SYSTEM_ALREADY_EXISTS"],
  [HResult.SYSTEM_ALREADY_STOPPED, "SYSTEM_ALREADY_STOPPED"],
]);

/** HRESULT of an error code, unsigned. */
export function hresultOfCode(code: ErrorCode): number {
  return byCode[code];
}

/** HRESULT of whatever was thrown, unsigned: that of the outermost AgentError among it and its causes, else E_FAIL. */
export function hresultOf(thrown: unknown): number {
  for (let at = thrown, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    if (at instanceof AgentError) return byCode[at.code];
  }
  return HResult.FAIL;
}

/** As messages carry it: -2^31 to 2^31 - 1. */
export function toSigned(hresult: number): number {
  return hresult | 0;
}

/** As people write it: 0 to 2^32 - 1. */
export function fromSigned(result: number): number {
  return result >>> 0;
}

/** `0xc037010e`. */
export function formatHresult(hresult: number): string {
  return `0x${fromSigned(hresult).toString(16).padStart(8, "0")}`;
}

const MODULE_NAME = "gcs";
/** Characters; keeps a reply far below a frame's bound, whatever an error quotes. */
const MAXIMUM_MESSAGE_LENGTH = 4096;
const MAXIMUM_STACK_LENGTH = 4096;

/** The fields that make a response a failed one. The message includes the causes'. */
export function errorResponseFields(thrown: unknown): {
  Result: number;
  ErrorMessage: string;
  ErrorRecords: ErrorRecord[];
} {
  const Result = toSigned(hresultOf(thrown));
  const message = shorten(describeError(thrown), MAXIMUM_MESSAGE_LENGTH);
  const stack = stackOf(thrown);
  return {
    Result,
    ErrorMessage: message,
    ErrorRecords: [
      {
        Result,
        Message: message,
        StackTrace: shorten(stack.join("\n"), MAXIMUM_STACK_LENGTH),
        ModuleName: MODULE_NAME,
        ...placeOf(stack[0] ?? ""),
      },
    ],
  };
}

/** The frames only: the head of `stack` repeats the message. */
function stackOf(thrown: unknown): string[] {
  if (!(thrown instanceof Error) || typeof thrown.stack !== "string") return [];
  return thrown.stack
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.startsWith("at "));
}

/** Reads `at async name (file:///path/file.ts:12:34)` and `at file:///path/file.ts:12:34`. */
function placeOf(frame: string): { FileName: string; Line: number; FunctionName: string } {
  const match = /^at (?:async )?(?:(.*?) \()?(?:.*\/)?([^/():]+):(\d+):\d+\)?$/.exec(frame);
  return { FileName: match?.[2] ?? "", Line: Number(match?.[3] ?? 0), FunctionName: match?.[1] ?? "" };
}

function shorten(text: string, length: number): string {
  return text.length <= length
    ? text
    : `${text.slice(0, length).toWellFormed()}... (${text.length} characters)`;
}

/** A guest's refusal, on the host's side. `code` follows from the HRESULT, which stays at hand. */
export class GuestError extends AgentError {
  /** Unsigned. */
  readonly hresult: number;
  /** What the guest says of where it failed. */
  declare readonly records: readonly ErrorRecord[];

  constructor(code: ErrorCode, message: string, hresult: number, records: readonly ErrorRecord[]) {
    super(code, message);
    this.name = "GuestError";
    this.hresult = hresult;
    // Not printed with the error, as it tells the message again, and the guest's stack.
    Object.defineProperty(this, "records", { value: records, enumerable: false });
  }
}

/**
 * The error that a failed response stands for. A guest's unspecific failure (E_FAIL, or an HRESULT with no code
 * here) is why a process could not be started, where its words tell (start-failure.ts), else RUNTIME_FAILED; its message says what failed.
 *
 * @param doing what was asked of the guest, for the message: "create container abc".
 */
export function errorFromResponse(response: ResponseBase, doing = "the request"): GuestError {
  const hresult = fromSigned(response.Result);
  const records = (response.ErrorRecords ?? []).map((record) => ({
    ...record,
    ...(record.Message !== undefined && { Message: printable(record.Message) }),
    ...(record.StackTrace !== undefined && { StackTrace: printableLines(record.StackTrace) }),
  }));
  const reason = printable(response.ErrorMessage || records[0]?.Message || "no reason given");
  return new GuestError(
    codes.get(hresult) ?? startFailureOf(reason) ?? "RUNTIME_FAILED",
    `the guest refused ${doing}: ${reason} (${formatHresult(hresult)})`,
    hresult,
    records,
  );
}
