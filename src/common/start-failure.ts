/**
 * Why a process could not be started: recognised in one place, for what this agent's runtimes say and, on the host's side,
 * for what another guest passes on of its runtime's words. A leaf, as errors.ts.
 */

/** Codes of AgentError; docs/protocol.md. */
export const START_FAILURES = [
  "COMMAND_NOT_FOUND",
  "COMMAND_NOT_EXECUTABLE",
  "INVALID_WORKING_DIRECTORY",
  "INVALID_USER",
] as const;
export type StartFailure = (typeof START_FAILURES)[number];

/**
 * What runc 1.1 to 1.3 and crun 1.8 to 1.28 were seen to say; first match wins. A name that the host chose stands behind
 * the words that tell, in quotes, so none can pass for another failure that is listed later.
 */
const WORDS: readonly (readonly [pattern: RegExp, failure: StartFailure])[] = [
  // What describeStartFailure says. Hosts get no code with an answer, but these first words.
  [/^command "(?:[^"\\]|\\.)*" was not found/, "COMMAND_NOT_FOUND"],
  [/^command "(?:[^"\\]|\\.)*" cannot be executed/, "COMMAND_NOT_EXECUTABLE"],
  [/^working directory "(?:[^"\\]|\\.)*" cannot be used/, "INVALID_WORKING_DIRECTORY"],
  [/^the user cannot be used/, "INVALID_USER"],
  // runc: exec: "x": executable file not found in $PATH; exec: "/x": stat /x: no such file or directory
  [
    /\bexec: "(?:[^"\\]|\\.)*": (executable file not found|stat .*: no such file|no such file)/s,
    "COMMAND_NOT_FOUND",
  ],
  // runc: exec: "/etc": permission denied; is a directory; stat /etc/passwd/x: not a directory
  [/\bexec: "(?:[^"\\]|\\.)*": /s, "COMMAND_NOT_EXECUTABLE"],
  // crun: executable file `x` not found[ in $PATH]: No such file or directory
  [/executable file `.*` not found/s, "COMMAND_NOT_FOUND"],
  // crun: open executable: Permission denied; the path `/etc` is not a regular file; since 1.21 the path `/etc/passwd`
  // exists but it is not executable; open `/etc/passwd/x`: Not a directory
  [
    /open executable: |the path `.*` (exists but it )?(isn't|is not)|^open `.*`: Not a directory$/s,
    "COMMAND_NOT_EXECUTABLE",
  ],
  // runc: exec /x: exec format error; permission denied, which the user has not, or on a file system without execution;
  // crun: exec container process `/x`: Exec format error
  [
    /\bexec( container process)? .*: (exec format error|permission denied|operation not permitted)|^exec: Exec format error/is,
    "COMMAND_NOT_EXECUTABLE",
  ],
  // runc: chdir to cwd ("/x") set in config.json failed; crun: chdir `/x`, since 1.14.1 chdir to `/x`
  [/chdir to cwd \("|\bchdir (to )?`|Cwd must be an absolute path/, "INVALID_WORKING_DIRECTORY"],
  [/current working directory is outside of container/, "INVALID_WORKING_DIRECTORY"],
  // runc: unable to setup user: uids and gids must be in range 0-2147483647
  [/unable to setup user: /, "INVALID_USER"],
];

/**
 * @param words of the runtime.
 * @param workingDirectory that the process was to have: runc makes one that is missing, and says but its name.
 * @returns undefined when it was something else.
 */
export function startFailureOf(words: string, workingDirectory?: string): StartFailure | undefined {
  for (const [pattern, failure] of WORDS) if (pattern.test(words)) return failure;
  const made = /\bmkdir (\/[^:]*): /.exec(words)?.[1];
  if (made === undefined || workingDirectory === undefined) return undefined;
  const isPart = workingDirectory === made || workingDirectory.startsWith(`${made}/`);
  return isPart ? "INVALID_WORKING_DIRECTORY" : undefined;
}

/** What was to be started. */
export interface StartSubject {
  readonly command: string;
  readonly workingDirectory: string;
}

/** `command "x" was not found`. */
export function describeStartFailure(failure: StartFailure, subject: StartSubject): string {
  if (failure === "COMMAND_NOT_FOUND") return `command ${quote(subject.command)} was not found`;
  if (failure === "COMMAND_NOT_EXECUTABLE") return `command ${quote(subject.command)} cannot be executed`;
  if (failure === "INVALID_USER") return "the user cannot be used";
  return `working directory ${quote(subject.workingDirectory)} cannot be used`;
}

const LONGEST_NAME = 256;

function quote(name: string): string {
  return JSON.stringify(
    name.length <= LONGEST_NAME ? name : `${name.slice(0, LONGEST_NAME)}...`.toWellFormed(),
  );
}
