/** A process of the utility VM itself, outside any container, with pipes or with a terminal: the host's debugging shell. */
import { AgentError } from "../../common/errors.ts";
import { describeStartFailure, type StartFailure, type StartSubject } from "../../common/start-failure.ts";
import { isSystemError } from "../../common/system-error.ts";
import { resetOomScore } from "../../linux/oom-score.ts";
import { exitCodeOf, type SupervisedProcess, type Supervisor } from "../../linux/supervisor.ts";
import { closeConnections, connectStdio } from "../../stdio/connection-set.ts";
import { PipeRelay } from "../../stdio/pipe-relay.ts";
import type { StdioPorts, Transport } from "../../stdio/transport.ts";
import { TtyRelay } from "../../stdio/tty-relay.ts";
import { STDIO_DIAL } from "./dial.ts";
import type { ExternalCommand } from "./external-command.ts";
import type { ProcessHandle } from "./process.ts";

export interface ExternalContext {
  readonly supervisor: Supervisor;
  readonly transport: Transport;
  readonly ports: StdioPorts;
}

const SIGKILL = 9;
const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEFAULT_TERM = "xterm";
const DEFAULT_CONSOLE_SIZE = { height: 24, width: 80 };

/** @throws AgentError INVALID_ARGUMENT for no program, DIAL_FAILED, SPAWN_FAILED; then nothing is left. */
export async function startExternalProcess(
  command: ExternalCommand,
  context: ExternalContext,
): Promise<ProcessHandle> {
  const program = command.args[0];
  if (program === undefined || program === "")
    throw new AgentError("INVALID_ARGUMENT", "the command names no program");
  const connections = await connectStdio(context.transport, context.ports, STDIO_DIAL);
  let relay: PipeRelay | TtyRelay | undefined;
  let started: SupervisedProcess | undefined;
  try {
    const tty = command.terminal ? TtyRelay.open() : undefined;
    const streams = tty ?? new PipeRelay();
    relay = streams;
    const { height, width } = command.consoleSize ?? DEFAULT_CONSOLE_SIZE;
    await tty?.resize(height, width);
    const { stdin = null, stdout = null, stderr = null } = streams.childFds;
    const child = await context.supervisor.spawn({
      path: program,
      args: command.args,
      env: { PATH: DEFAULT_PATH, ...(command.terminal && { TERM: DEFAULT_TERM }), ...command.environment },
      cwd: command.workingDirectory,
      stdio: [stdin, stdout, stderr],
      newSession: true,
      controllingTerminal: command.terminal,
    });
    started = child;
    resetOomScore(child.pid);
    streams.closeChildFds();
    streams.start(connections);
    return {
      pid: child.pid,
      async wait() {
        const exitCode = exitCodeOf(await child.exited);
        await streams.drain();
        return exitCode;
      },
      signal: (signal) => child.signal(signal),
      delivered: () => streams.delivered(),
      async delete() {
        await streams.close();
      },
      tty,
      pipeRelay: streams instanceof PipeRelay ? streams : undefined,
    };
  } catch (error) {
    started?.signal(SIGKILL);
    await relay?.close();
    closeConnections(connections);
    throw explain(error, { command: program, workingDirectory: command.workingDirectory });
  }
}

/** Which step failed, and how, says why; see the addon's spawn(). */
function explain(error: unknown, subject: StartSubject): unknown {
  const cause = error instanceof AgentError && error.code === "SPAWN_FAILED" ? error.cause : undefined;
  if (!isSystemError(cause)) return error;
  const failure = failureOf(cause);
  return failure === undefined
    ? error
    : new AgentError(failure, describeStartFailure(failure, subject), { cause });
}

function failureOf({ syscall, code }: NodeJS.ErrnoException): StartFailure | undefined {
  if (syscall === "chdir") return "INVALID_WORKING_DIRECTORY";
  if (syscall !== "execve") return undefined;
  return code === "ENOENT" ? "COMMAND_NOT_FOUND" : "COMMAND_NOT_EXECUTABLE";
}
