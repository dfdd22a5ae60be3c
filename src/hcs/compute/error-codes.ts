import type { ErrorCode } from "../../common/errors.ts";

/**
 * What a compute service call can fail with: the names and numbers of hcsshim's package `hcs`
 * (https://github.com/microsoft/hcsshim, internal/hcs/errors.go). Each name is one object, so `isError(error,
 * ErrTimeout)` asks what Go's `errors.Is` asks.
 */
export class HcsErrorCode extends Error {
  /** As hcsshim exports it: "ErrComputeSystemDoesNotExist". For a number without a name, the number in hexadecimal. */
  override readonly name: string;
  /** The Win32 error or HRESULT, unsigned; absent for those that hcsshim itself makes up. */
  readonly number: number | undefined;

  constructor(name: string, number: number | undefined, message: string) {
    super(message);
    this.name = name;
    this.number = number;
    // A constant: where it was made tells nobody anything.
    this.stack = `${name}: ${message}`;
  }
}

const byNumber = new Map<number, HcsErrorCode>();

function define(name: string, number: number | undefined, message: string): HcsErrorCode {
  const code = new HcsErrorCode(name, number, message);
  if (number !== undefined) byNumber.set(number, code);
  return code;
}

export const ErrComputeSystemDoesNotExist = define(
  "ErrComputeSystemDoesNotExist",
  0xc037010e,
  "the compute system does not exist",
);
/** A process has exited already, or never existed. */
export const ErrElementNotFound = define("ErrElementNotFound", 0x490, "the element was not found");
export const ErrNotSupported = define("ErrNotSupported", 0x32, "the request is not supported");
export const ErrInvalidData = define("ErrInvalidData", 0xd, "the data is invalid");
export const ErrHandleClose = define(
  "ErrHandleClose",
  undefined,
  "the handle that would bring this notification has been closed",
);
export const ErrAlreadyClosed = define("ErrAlreadyClosed", undefined, "the handle has been closed already");
export const ErrInvalidNotificationType = define(
  "ErrInvalidNotificationType",
  undefined,
  "nothing sends notifications of this type",
);
export const ErrInvalidProcessState = define(
  "ErrInvalidProcessState",
  undefined,
  "the process is not in a state for this operation",
);
export const ErrTimeout = define("ErrTimeout", undefined, "the time to wait for a notification is over");
/** Exited while another notification was waited for. */
export const ErrUnexpectedContainerExit = define(
  "ErrUnexpectedContainerExit",
  undefined,
  "the system exited unexpectedly",
);
/** The virtual machine or the bridge to its guest is gone, so what happened to the rest is unknown. */
export const ErrUnexpectedProcessAbort = define(
  "ErrUnexpectedProcessAbort",
  undefined,
  "the guest compute service is lost",
);
export const ErrUnexpectedValue = define("ErrUnexpectedValue", undefined, "the answer makes no sense");
export const ErrOperationDenied = define("ErrOperationDenied", undefined, "the operation is denied");
export const ErrVmcomputeAlreadyStopped = define(
  "ErrVmcomputeAlreadyStopped",
  0xc0370110,
  "the compute system has stopped already",
);
export const ErrVmcomputeSystemAlreadyStopped = define(
  "ErrVmcomputeSystemAlreadyStopped",
  0x80370110,
  "the compute system runs no longer",
);
/** Version 1's shutdown and terminate say so: the end comes later. */
export const ErrVmcomputeOperationPending = define(
  "ErrVmcomputeOperationPending",
  0xc0370103,
  "the operation goes on in the background",
);
export const ErrVmcomputeOperationInvalidState = define(
  "ErrVmcomputeOperationInvalidState",
  0xc0370105,
  "the compute system is not in a state for this operation",
);
export const ErrProcNotFound = define("ErrProcNotFound", 0x7f, "the procedure was not found");
export const ErrVmcomputeOperationAccessIsDenied = define(
  "ErrVmcomputeOperationAccessIsDenied",
  0x5,
  "access is denied",
);
/** A document that is no JSON of the schema, unknown parts included. */
export const ErrVmcomputeInvalidJSON = define(
  "ErrVmcomputeInvalidJSON",
  0xc037010d,
  "the document or message is not understood",
);
export const ErrVmcomputeUnknownMessage = define(
  "ErrVmcomputeUnknownMessage",
  0xc037010b,
  "the guest does not know the message",
);
export const ErrVmcomputeUnexpectedExit = define(
  "ErrVmcomputeUnexpectedExit",
  0xc0370106,
  "the compute system ended unexpectedly",
);
export const ErrPlatformNotSupported = define(
  "ErrPlatformNotSupported",
  undefined,
  "this platform does not support the request",
);
export const ErrProcessAlreadyStopped = define(
  "ErrProcessAlreadyStopped",
  0x8037011f,
  "the process has stopped already",
);
export const ErrInvalidHandle = define("ErrInvalidHandle", 0x6, "the handle is invalid");
/** HCS_E_SYSTEM_ALREADY_EXISTS, for which hcsshim has no name. */
export const ErrComputeSystemAlreadyExists = define(
  "ErrComputeSystemAlreadyExists",
  0xc037010f,
  "a compute system with this id exists already",
);

/** Every code that has a name, by that name. */
export const hcsErrorCodes: Readonly<Record<string, HcsErrorCode>> = Object.freeze(
  Object.fromEntries(
    [
      ErrComputeSystemDoesNotExist,
      ErrElementNotFound,
      ErrNotSupported,
      ErrInvalidData,
      ErrHandleClose,
      ErrAlreadyClosed,
      ErrInvalidNotificationType,
      ErrInvalidProcessState,
      ErrTimeout,
      ErrUnexpectedContainerExit,
      ErrUnexpectedProcessAbort,
      ErrUnexpectedValue,
      ErrOperationDenied,
      ErrVmcomputeAlreadyStopped,
      ErrVmcomputeSystemAlreadyStopped,
      ErrVmcomputeOperationPending,
      ErrVmcomputeOperationInvalidState,
      ErrProcNotFound,
      ErrVmcomputeOperationAccessIsDenied,
      ErrVmcomputeInvalidJSON,
      ErrVmcomputeUnknownMessage,
      ErrVmcomputeUnexpectedExit,
      ErrPlatformNotSupported,
      ErrProcessAlreadyStopped,
      ErrInvalidHandle,
      ErrComputeSystemAlreadyExists,
    ].map((code) => [code.name, code]),
  ),
);

/** FACILITY_WIN32 in an HRESULT of severity 1: the low 16 bits are a Win32 error; MS-ERREF 2.1. */
const FACILITY_WIN32 = 0x8007;

/**
 * The code of a Win32 error or HRESULT; one of its own when the number has no name here.
 * @param number signed or unsigned
 */
export function codeOfNumber(number: number): HcsErrorCode {
  const unsigned = number >>> 0;
  const win32 = unsigned >>> 16 === FACILITY_WIN32 ? unsigned & 0xffff : unsigned;
  const hexadecimal = `0x${unsigned.toString(16)}`;
  return byNumber.get(win32) ?? new HcsErrorCode(hexadecimal, win32, `error ${hexadecimal}`);
}

/** What this project's own codes are to a user of the compute service. Those that are missing have no such name. */
export const codeOfAgentError: Readonly<Partial<Record<ErrorCode, HcsErrorCode>>> = {
  INVALID_JSON: ErrVmcomputeInvalidJSON,
  INVALID_DATA: ErrInvalidData,
  INVALID_ARGUMENT: codeOfNumber(0x80070057),
  INVALID_CONTAINER_ID: codeOfNumber(0x80070057),
  UNKNOWN_MESSAGE: ErrVmcomputeUnknownMessage,
  NOT_SUPPORTED: ErrNotSupported,
  SYSTEM_NOT_FOUND: ErrComputeSystemDoesNotExist,
  CONTAINER_DOES_NOT_EXIST: ErrComputeSystemDoesNotExist,
  SYSTEM_ALREADY_EXISTS: ErrComputeSystemAlreadyExists,
  CONTAINER_ALREADY_EXISTS: ErrComputeSystemAlreadyExists,
  SYSTEM_ALREADY_STOPPED: ErrVmcomputeAlreadyStopped,
  CONTAINER_NOT_RUNNING: ErrVmcomputeAlreadyStopped,
  INVALID_STATE: ErrVmcomputeOperationInvalidState,
  CONTAINER_STILL_RUNNING: ErrVmcomputeOperationInvalidState,
  CONTAINER_NOT_STOPPED: ErrVmcomputeOperationInvalidState,
  PROCESS_NOT_FOUND: ErrElementNotFound,
  TIMEOUT: ErrTimeout,
  TRANSPORT_CLOSED: ErrUnexpectedProcessAbort,
};
