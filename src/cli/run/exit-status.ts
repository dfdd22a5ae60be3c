import { GuestError } from "../../protocol/hresult.ts";

/** The container was not started, or something on this side failed. These are Docker's. */
export const START_FAILED = 125;
const CANNOT_EXECUTE = 126;
const NOT_FOUND = 127;

/**
 * The exit status for a container that did not start: what runc and crun say when it is the command's fault. Both
 * name the command after "exec"; an error about anything else (a mount, a directory) is not the command's.
 */
export function statusOfStartFailure(error: unknown): number {
  if (!(error instanceof GuestError)) return START_FAILED;
  const { message } = error;
  // runc: exec: "x": executable file not found in $PATH; exec: "/x": stat /x: no such file or directory
  // crun: executable file `x` not found[ in $PATH]: No such file or directory; open executable: ...
  if (/exec: ".*": (executable file not found|stat .*: no such file|no such file)/is.test(message))
    return NOT_FOUND;
  if (/executable file `.*` not found/is.test(message)) return NOT_FOUND;
  if (/exec: ".*": .*(permission denied|is a directory|not a directory|exec format error)/is.test(message))
    return CANNOT_EXECUTE;
  if (/(open executable|executable file `.*`|the path `.*` (isn't|is not)).*/is.test(message))
    return CANNOT_EXECUTE;
  return START_FAILED;
}
