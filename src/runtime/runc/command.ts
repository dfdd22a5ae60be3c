import { closeSync, fstatSync, openSync, readSync, unlinkSync } from "node:fs";
import { basename } from "node:path";
import type { SpawnOptions } from "../../../native/hvsock/index.ts";
import { settlesWithin } from "../../common/deadline.ts";
import { AgentError } from "../../common/errors.ts";
import { describeStartFailure, START_FAILURES, type StartSubject } from "../../common/start-failure.ts";
import { isSystemError } from "../../common/system-error.ts";
import { underWay } from "../../common/under-way.ts";
import { removeFile } from "../../linux/remove.ts";
import {
  type ExitStatus,
  exitCodeOf,
  type SupervisedProcess,
  type Supervisor,
} from "../../linux/supervisor.ts";
import { containerOf, globalArguments } from "./args.ts";
import { explainFailure, plainWords } from "./log.ts";

export interface RuntimeCommandOptions {
  /** Name in PATH or path of the runtime: "runc", "crun", "/usr/local/bin/runc". */
  readonly command: string;
  /** Where the runtime keeps its state; its own default where absent. */
  readonly stateRoot: string | undefined;
  readonly supervisor: Supervisor;
}

export interface CallOptions {
  /** Directory that takes the call's log while it runs. */
  readonly directory: string;
  /** Milliseconds until the call is killed. */
  readonly deadlineMs: number;
  /** What the call is to start, for its errors. */
  readonly starts?: StartSubject | undefined;
  /** Stdio of the call, which the runtime hands to the process it starts. Without it, output is captured. */
  readonly stdio?: SpawnOptions["stdio"];
  /** Takes AF_VSOCK and io_uring from all that the call starts; see SpawnOptions. */
  readonly noHostSockets?: boolean;
}

/** Longest output of a call that is read: the state of many containers. */
const maximumOutput = 4 * 1024 * 1024;
/** Bytes of its log that are read, the last ones. */
const maximumLog = 64 * 1024;

/** A killed call that sits in the kernel is waited for no longer than this. */
const killedGraceMs = 5000;

/** What of our environment a runtime may see; the rest may hold what is not its business. */
const passedVariables = ["PATH", "HOME", "XDG_RUNTIME_DIR", "LANG"];

/** Runs the runtime's command line: one call, its log, its deadline, its errors. */
export class RuntimeCommand {
  readonly #options: RuntimeCommandOptions;
  #calls = 0;

  constructor(options: RuntimeCommandOptions) {
    this.#options = options;
  }

  /** For messages: "runc". */
  get name(): string {
    return basename(this.#options.command);
  }

  /**
   * @param args as args.ts builds them, the command first.
   * @returns what it wrote to stdout; "" with stdio of its own.
   * @throws AgentError with the code that the runtime's words mean (log.ts), HELPER_TIMEOUT, SPAWN_FAILED
   */
  async run(args: readonly string[], options: CallOptions): Promise<string> {
    const id = containerOf(args);
    const what = `${this.name} ${args[0]}${id === undefined ? "" : ` of container ${id}`}`;
    return await underWay(what, this.#run(args, options));
  }

  async #run(args: readonly string[], options: CallOptions): Promise<string> {
    const { command, stateRoot, supervisor } = this.#options;
    const what = `${this.name} ${args[0]}`;
    const log = `${options.directory}/call-${++this.#calls}.log`;
    // A file rather than a pipe: reading it never waits for a process that holds the other end.
    const output = options.stdio ? undefined : openUnlinked(`${log}.out`);
    try {
      const process = await supervisor.spawn({
        path: command,
        args: [command, ...globalArguments({ log, root: stateRoot }), ...args],
        env: passedEnvironment(),
        stdio: options.stdio ?? [null, output ?? null, output ?? null],
        // Its own group: what the deadline kills.
        newSession: true,
        noHostSockets: options.noHostSockets ?? false,
        isRuntime: true,
      });
      const status = await this.#withDeadline(what, process, options.deadlineMs);
      const said = output === undefined ? "" : readBounded(output, maximumOutput);
      if (status.code === 0) return said;
      const failure = explainFailure(readLog(log), said, options.starts);
      const code = exitCodeOf(status);
      const words = `${what} failed with exit code ${code}: ${plainWords(failure.text)}`;
      const kind = START_FAILURES.find((candidate) => candidate === failure.code);
      if (kind === undefined || options.starts === undefined) throw new AgentError(failure.code, words);
      throw new AgentError(kind, `${describeStartFailure(kind, options.starts)}: ${words}`);
    } finally {
      if (output !== undefined) closeSync(output);
      removeFile(log);
    }
  }

  async #withDeadline(what: string, process: SupervisedProcess, deadlineMs: number): Promise<ExitStatus> {
    if (await settlesWithin(process.exited, deadlineMs)) return process.exited;
    killGroup(process);
    await settlesWithin(process.exited, killedGraceMs);
    throw new AgentError("HELPER_TIMEOUT", `${what} was not done within ${deadlineMs} ms and was killed`);
  }
}

/** The leader is not reaped while it is seen as running here, so its group is still its own. */
function killGroup(leader: SupervisedProcess): void {
  if (leader.hasExited) return;
  try {
    process.kill(-leader.pid, "SIGKILL");
  } catch (error) {
    if (!isSystemError(error, "ESRCH")) throw error;
  }
}

function passedEnvironment(): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const name of passedVariables) {
    const value = process.env[name];
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}

function openUnlinked(path: string): number {
  const fd = openSync(path, "wx+", 0o600);
  unlinkSync(path);
  return fd;
}

/** @param from where in the file to begin, in bytes */
function readBounded(fd: number, most: number, from = 0): string {
  const bytes = Buffer.allocUnsafe(Math.min(fstatSync(fd).size - from, most));
  let length = 0;
  while (length < bytes.length) {
    const count = readSync(fd, bytes, length, bytes.length - length, from + length);
    if (count === 0) break;
    length += count;
  }
  return bytes.toString("utf8", 0, length);
}

/** The end of it, from a line's begin: a runtime says last why it ends. @returns "" when it failed before it opened its log. */
function readLog(path: string): string {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return "";
    throw error;
  }
  try {
    const from = Math.max(0, fstatSync(fd).size - maximumLog);
    const text = readBounded(fd, maximumLog, from);
    return from === 0 ? text : text.slice(text.indexOf("\n") + 1);
  } finally {
    closeSync(fd);
  }
}
