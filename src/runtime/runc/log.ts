import type { ErrorCode } from "../../common/errors.ts";
import { type StartSubject, startFailureOf } from "../../common/start-failure.ts";

/**
 * What runtimes say, and what it means. Matched against every error of a call's log, first match wins. runc's
 * texts are those of its libcontainer/error.go and its commands; crun's are from its libcrun. None is localised.
 */
const meanings: readonly (readonly [pattern: RegExp, code: ErrorCode])[] = [
  [/container with (given )?id (already )?exists/i, "CONTAINER_ALREADY_EXISTS"],
  [/container `[^`]*` already exists/, "CONTAINER_ALREADY_EXISTS"],
  [/container ("[^"]*" |`[^`]*` )?does not exist/, "CONTAINER_DOES_NOT_EXIST"],
  // crun opens its own state and says what the kernel said.
  [/error opening file `[^`]*\/status`: No such file or directory/, "CONTAINER_DOES_NOT_EXIST"],
  [/cannot open directory [`'][^`']*[`']: No such file or directory/, "CONTAINER_DOES_NOT_EXIST"],
  [/invalid (container )?id format/i, "INVALID_CONTAINER_ID"],
  [/cannot create state directory for `/, "INVALID_CONTAINER_ID"],
  [/that is not stopped/, "CONTAINER_NOT_STOPPED"],
  [/is not in `created` or `stopped` state/, "CONTAINER_NOT_STOPPED"],
  [/container still running/, "CONTAINER_STILL_RUNNING"],
  [
    /cannot start (an already running container|a container that has stopped|a stopped container)/,
    "INVALID_STATE",
  ],
  [/cannot open `[^`]*\/exec\.fifo`/, "INVALID_STATE"],
  [/container (`[^`]*` )?(is )?not running/, "CONTAINER_NOT_RUNNING"],
  [/cannot exec (in )?a (stopped container|container that has stopped)/, "CONTAINER_NOT_RUNNING"],
  [/container init (is )?not running|container is stopped/, "CONTAINER_NOT_RUNNING"],
];

/** At most this many characters of the runtime's own words go into an error message. */
const longestText = 2000;

/**
 * The messages of level error or worse in a log of JSON objects; what is no such object is left out. Each begins a line: runc
 * and crun write one in a line, crun 1.28 alone in several, the others indented.
 */
export function parseLogErrors(log: string): string[] {
  const errors: string[] = [];
  for (const text of log.split(/\n(?=\S)(?!\})/)) {
    if (text === "") continue;
    let entry: unknown;
    try {
      entry = JSON.parse(text);
    } catch {
      // A last one that the runtime was killed in.
      continue;
    }
    if (typeof entry !== "object" || entry === null || !("level" in entry) || !("msg" in entry)) continue;
    if (typeof entry.msg === "string" && /^(error|fatal|panic)$/.test(String(entry.level)))
      errors.push(entry.msg);
  }
  return errors;
}

/** What of runc's words says little to who has not read its source, and what is meant. */
const clearer: readonly (readonly [pattern: RegExp, meant: string])[] = [
  [
    /^.*uids and gids must be in range 0-(\d+)/s,
    "the runtime takes user and group ids from 0 to $1 (crun takes all of Linux's)",
  ],
  // Its scanner's bound, bufio.MaxScanTokenSize.
  [
    /^.*unable to find user .*: bufio\.Scanner: token too long/s,
    "the container's /etc/passwd has a line of 65536 bytes or more, which the runtime does not read",
  ],
  [
    /^.*unable to (?:find groups|get additional groups) .*: bufio\.Scanner: token too long/s,
    "the container's /etc/group has a line of 65536 bytes or more, which the runtime does not read",
  ],
];

/**
 * A failure as a person is told it: without what the call says of itself ("runc create failed: "), since that is told
 * with its exit code.
 */
export function plainWords(text: string): string {
  const own = text.replace(/^(?:runc )?(?:create|exec|run|start) failed: /, "");
  for (const [pattern, meant] of clearer) if (pattern.test(own)) return own.replace(pattern, meant);
  return own;
}

export interface RuntimeFailure {
  readonly code: ErrorCode;
  /** The runtime's own words. */
  readonly text: string;
}

/**
 * @param log what the call left in its log file.
 * @param subject what the call was to start.
 * @param output what it wrote to stdout and stderr; used where the log says nothing (crun, before its log is open).
 */
export function explainFailure(log: string, output: string, subject?: StartSubject): RuntimeFailure {
  const logged = parseLogErrors(log);
  const said = logged.length > 0 ? logged.join("; ") : output.trim();
  const text = said.slice(-longestText);
  // First, as they quote what the host chose, which may be worded like the others.
  const failure = subject === undefined ? undefined : startFailureOf(said, subject.workingDirectory);
  if (failure !== undefined) return { code: failure, text };
  for (const [pattern, code] of meanings) if (pattern.test(text)) return { code, text };
  return { code: "RUNTIME_FAILED", text: text || "it gave no reason" };
}
