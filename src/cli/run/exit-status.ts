/**
 * The exit statuses of all verbs. What runs a command (run, exec, start --attach, boot) ends with the command's own
 * status, 128+N when signal N ended it; and where there was no command to run:
 *
 *   2    the command line was not understood
 *   125  the command was not started, or how it ended is unknown
 *   126  it cannot be executed: a directory, no permission, not a program of this kernel
 *   127  it was not found
 *
 * The others end with 0, 2 and 125, and all with 1 or 141 where standard output is lost: see output.ts.
 */
import { AgentError } from "../../errors.ts";

/** The last three are Docker's. */
export const USAGE_ERROR = 2;
export const START_FAILED = 125;
const CANNOT_EXECUTE = 126;
const NOT_FOUND = 127;

/** How runtimes and the agent name a command that is not there, */
const MISSING = [
  // runc: exec: "x": executable file not found in $PATH; exec: "/x": stat /x: no such file or directory
  /\bexec: ".*": (executable file not found|stat .*: no such file|no such file)/is,
  // crun: executable file `x` not found[ in $PATH]: No such file or directory
  /executable file `.*` not found/is,
  // the agent, for a process outside containers
  /cannot start .*: execve: ENOENT/s,
];
/** and one that is there. An error about anything else (a mount, a working directory) is not the command's. */
const REFUSED = [
  // runc: exec: "/etc": permission denied; exec /x: exec format error
  /\bexec: ".*": /is,
  /\bexec \S.*: exec format error/is,
  // crun: open executable: Permission denied; the path `/etc` is not a regular file
  /open executable|executable file `.*`|the path `.*` (isn't|is not)/is,
  /cannot start .*: execve: [A-Z0-9]+/s,
];

/** The exit status where a command did not start, for whatever was thrown. */
export function statusOfStartFailure(error: unknown): number {
  if (!(error instanceof AgentError) || error.code !== "RUNTIME_FAILED") return START_FAILED;
  const says = (patterns: readonly RegExp[]) => patterns.some((pattern) => pattern.test(error.message));
  if (says(MISSING)) return NOT_FOUND;
  return says(REFUSED) ? CANNOT_EXECUTE : START_FAILED;
}
