/**
 * A process of the utility VM with a terminal: the host's debugging shell. node-pty makes the terminal, starts the
 * process and waits for it; its bytes cross JavaScript, which a person's typing can afford.
 */
import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { IPty } from "node-pty";
import { AgentError } from "../../common/errors.ts";
import { describeStartFailure, type StartFailure } from "../../common/start-failure.ts";
import { isSystemError } from "../../common/system-error.ts";
import { resetOomScore } from "../../linux/oom-score.ts";
import type { Supervisor } from "../../linux/supervisor.ts";
import { type ConnectionSet, closeConnections } from "../../stdio/connection-set.ts";
import { StreamRelay } from "../../stdio/stream-relay.ts";
import type { ExternalCommand } from "./external-command.ts";
import type { ProcessHandle } from "./process.ts";

export async function startExternalTerminal(
  command: ExternalCommand,
  supervisor: Supervisor,
  connections: ConnectionSet,
): Promise<ProcessHandle> {
  try {
    const program = await findProgram(command);
    const { spawn } = await import("node-pty");
    const terminal = spawn(program, command.args.slice(1) as string[], {
      name: command.environment.TERM ?? "xterm",
      cols: command.consoleSize?.width ?? 80,
      rows: command.consoleSize?.height ?? 24,
      cwd: command.workingDirectory,
      env: { ...command.environment },
      // Bytes are the host's to decode: characters may come in pieces.
      encoding: null,
    });
    const settled = supervisor.ignore(terminal.pid);
    resetOomScore(terminal.pid);
    return handleOf(terminal, connections, settled);
  } catch (cause) {
    closeConnections(connections);
    if (cause instanceof AgentError) throw cause;
    throw new AgentError("SPAWN_FAILED", `cannot start ${command.args[0]} with a terminal`, { cause });
  }
}

function handleOf(terminal: IPty, connections: ConnectionSet, settled: () => void): ProcessHandle {
  let running = true;
  const relay = new StreamRelay(connections, {
    write: (bytes) => {
      // node-pty types strings, and takes buffers.
      if (running) terminal.write(bytes as unknown as string);
    },
    pause: () => terminal.pause(),
    resume: () => terminal.resume(),
  });
  const exited = new Promise<number>((resolve) => {
    terminal.onExit(({ exitCode, signal }) => {
      running = false;
      settled();
      resolve(signal ? 128 + signal : exitCode);
    });
  });
  // node-pty types strings; with a null encoding it delivers buffers.
  terminal.onData((data) => relay.push(Buffer.from(data)));
  const drained = exited.then((exitCode) => {
    relay.end();
    return exitCode;
  });
  return {
    pid: terminal.pid,
    wait: () => drained,
    signal(signal) {
      if (!running) return false;
      process.kill(terminal.pid, signal);
      return true;
    },
    delete: async () => {
      if (!running) return;
      terminal.kill("SIGKILL");
      await exited;
    },
    tty: {
      resize(height, width) {
        if (running) terminal.resize(width, height);
      },
    },
  };
}

/** node-pty's child says nothing when it cannot execute the program, so that is looked at before. */
async function findProgram({ args, environment, workingDirectory }: ExternalCommand): Promise<string> {
  const [command = ""] = args;
  const refuse = (failure: StartFailure, cause: unknown) =>
    new AgentError(failure, describeStartFailure(failure, { command, workingDirectory }), { cause });
  try {
    if (!(await stat(workingDirectory)).isDirectory()) throw new Error("it is not a directory");
  } catch (cause) {
    throw refuse("INVALID_WORKING_DIRECTORY", cause);
  }
  const candidates = command.includes("/")
    ? [resolve(workingDirectory, command)]
    : (environment.PATH ?? "").split(":").map((directory) => join(directory, command));
  // As execvp(3): one that is not there is passed over, one that may not be run is remembered.
  let found: unknown;
  let missing: unknown;
  for (const candidate of candidates) {
    try {
      await access(candidate, constants.X_OK);
      if (!(await stat(candidate)).isFile()) throw new Error("it is not a regular file");
      return candidate;
    } catch (error) {
      if (isSystemError(error, "ENOENT")) missing = error;
      else found ??= error;
    }
  }
  throw found === undefined ? refuse("COMMAND_NOT_FOUND", missing) : refuse("COMMAND_NOT_EXECUTABLE", found);
}
