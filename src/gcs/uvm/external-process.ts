/** A process of the utility VM itself, outside any container, with pipes or with a terminal: the host's debugging shell. */
import { closeFd, openPty } from "../../../native/hvsock/index.ts";
import { AgentError } from "../../common/errors.ts";
import { describeStartFailure, type StartFailure, type StartSubject } from "../../common/start-failure.ts";
import { isSystemError } from "../../common/system-error.ts";
import { resetOomScore } from "../../linux/oom-score.ts";
import { exitCodeOf, type Supervisor } from "../../linux/supervisor.ts";
import { type ConnectionSet, closeConnections, connectStdio } from "../../stdio/connection-set.ts";
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
  let streams: Streams | undefined;
  try {
    streams = command.terminal ? terminal() : pipes();
    const { height, width } = command.consoleSize ?? DEFAULT_CONSOLE_SIZE;
    streams.tty?.resize(height, width);
    const child = await context.supervisor.spawn({
      path: program,
      args: command.args,
      env: { PATH: DEFAULT_PATH, ...(command.terminal && { TERM: DEFAULT_TERM }), ...command.environment },
      cwd: command.workingDirectory,
      stdio: streams.stdio,
      newSession: true,
      controllingTerminal: command.terminal,
    });
    resetOomScore(child.pid);
    streams.closeChildFds();
    const { relay, tty } = streams;
    relay.start(connections);
    return {
      pid: child.pid,
      async wait() {
        const exitCode = exitCodeOf(await child.exited);
        await relay.drain();
        return exitCode;
      },
      signal: (signal) => child.signal(signal),
      delete: () => relay.close(),
      tty,
    };
  } catch (error) {
    streams?.closeChildFds();
    await streams?.relay.close();
    closeConnections(connections);
    throw explain(error, { command: program, workingDirectory: command.workingDirectory });
  }
}

/** What the process gets as its standard streams, and what relays them. */
interface Streams {
  readonly stdio: readonly [number | null, number | null, number | null];
  readonly relay: { start(connections: ConnectionSet): void; drain(): Promise<void>; close(): Promise<void> };
  readonly tty: TtyRelay | undefined;
  /** Once the process has them: only then can its output end. May be called again. */
  closeChildFds(): void;
}

function pipes(): Streams {
  const relay = new PipeRelay();
  const { stdin = null, stdout = null, stderr = null } = relay.childFds;
  return {
    stdio: [stdin, stdout, stderr],
    relay,
    tty: undefined,
    closeChildFds: () => relay.closeChildFds(),
  };
}

function terminal(): Streams {
  const { masterFd, slaveFd } = openPty();
  const tty = new TtyRelay(masterFd);
  let open = true;
  const closeChildFds = () => {
    if (open) closeFd(slaveFd);
    open = false;
  };
  return { stdio: [slaveFd, slaveFd, slaveFd], relay: tty, tty, closeChildFds };
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
