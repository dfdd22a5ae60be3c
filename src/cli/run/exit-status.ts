/**
 * The exit statuses of all verbs. What runs a command (run, exec, start --attach, boot) ends with the command's own
 * status, 128+N when signal N ended it; and where there was no command to run:
 *
 *   2    the command line was not understood
 *   125  the command was not started, or how it ended is unknown
 *   126  it cannot be executed: a directory, no permission, not a program of this kernel
 *   127  it was not found
 *
 * The others end with 0, 2 and 125 (`doctor` with 1 where `lcow run` would not work), and all with 1 or 141 where standard output is lost: see output.ts.
 */
import { AgentError, type ErrorCode } from "../../common/errors.ts";

/** The last three are Docker's. */
export const USAGE_ERROR = 2;
export const START_FAILED = 125;
const CANNOT_EXECUTE = 126;
const NOT_FOUND = 127;

/** By what the guest answered: see START_FAILURES. What is not the command's fault is START_FAILED. */
const STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  COMMAND_NOT_FOUND: NOT_FOUND,
  COMMAND_NOT_EXECUTABLE: CANNOT_EXECUTE,
};

/** The exit status where a command did not start, for whatever was thrown. */
export function statusOfStartFailure(error: unknown): number {
  return (error instanceof AgentError && STATUS[error.code]) || START_FAILED;
}
