/** What a user is told when something has failed. */
import { AgentError, describeError } from "../common/errors.ts";
import { guestTraceOf } from "../hcs/compute/guest-trace.ts";
import { UsageError } from "./arguments.ts";
import { OutputError, printError, say } from "./output.ts";
import { statusOfStartFailure, USAGE_ERROR } from "./run/exit-status.ts";

const DEBUG_VARIABLE = "LCOW_DEBUG";

/** Where errors come from is shown, too: `lcow --debug`. */
export function enableDebugging(): void {
  process.env[DEBUG_VARIABLE] = "1";
}

/** Tells it in a line, and where it came from only to who has asked. @returns the exit status */
export function tell(error: unknown): number {
  if (error instanceof UsageError) {
    const of = error.verb === undefined ? "" : `${error.verb} `;
    printError(`lcow: ${error.message}\nSee: lcow ${of}--help\n`);
    return USAGE_ERROR;
  }
  if (error instanceof OutputError) {
    if (!error.isReaderGone) say(error.message);
    return error.status;
  }
  say(`${describeError(error)} [${error instanceof AgentError ? error.code : "INTERNAL"}]`);
  if (process.env[DEBUG_VARIABLE]) printError(traceOf(error));
  return statusOfStartFailure(error);
}

function traceOf(error: unknown): string {
  const guest = guestTraceOf(error);
  const host = error instanceof Error ? error.stack : undefined;
  return [host, guest === undefined ? undefined : `In the guest:\n${guest}`]
    .filter((part) => part !== undefined)
    .map((part) => `${part}\n`)
    .join("");
}
