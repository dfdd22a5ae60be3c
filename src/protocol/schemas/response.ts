import * as v from "valibot";
import { i32, object, optional, u32 } from "./base.ts";

const errorRecord = object({
  /** HRESULT as a signed 32-bit number. */
  Result: i32,
  Message: optional(v.string()),
  /** One frame a line. */
  StackTrace: optional(v.string()),
  /** "gcs". */
  ModuleName: optional(v.string()),
  /** Where it was thrown: file name, line from 1 (0: unknown), function. */
  FileName: optional(v.string()),
  Line: optional(u32),
  FunctionName: optional(v.string()),
});

/** The fields at the head of every response. */
export const responseBase = {
  /** HRESULT as a signed 32-bit number; 0 is success, and only then are the message's own fields there. */
  Result: i32,
  /** The request's, unchanged. */
  ActivityId: optional(v.string()),
  /** For people; only on failure. */
  ErrorMessage: optional(v.string()),
  /** Only on failure. */
  ErrorRecords: optional(v.array(errorRecord)),
};

export const failedResponse = object(responseBase);

export type ErrorRecord = v.InferOutput<typeof errorRecord>;
/** What all responses have. */
export type ResponseBase = v.InferOutput<typeof failedResponse>;
/** A response whose Result is not 0. */
export type FailedResponse = ResponseBase & { ErrorMessage: string };
