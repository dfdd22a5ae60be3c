import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { receiveFd } from "../../../native/hvsock/index.ts";
import { CleanupStack } from "../../common/cleanup.ts";
import { AgentError } from "../../common/errors.ts";
import type { StartSubject } from "../../common/start-failure.ts";
import { removeFile, removeFlatDirectory } from "../../linux/remove.ts";
import type { Claim, SupervisedProcess, Supervisor } from "../../linux/supervisor.ts";
import { type ConnectionSet, closeConnections } from "../../stdio/connection-set.ts";
import { PipeRelay, type PipeStreams } from "../../stdio/pipe-relay.ts";
import { TtyRelay } from "../../stdio/tty-relay.ts";
import type { RuntimeCommand } from "./command.ts";

/** What `create` and `exec` have in common: a process with stdio of its own is left behind by the runtime. */
export interface StartProcessOptions {
  readonly command: RuntimeCommand;
  readonly supervisor: Supervisor;
  /** Directory for the files of this start, and the first part of their names there. */
  readonly directory: string;
  readonly name: string;
  readonly terminal: boolean;
  readonly consoleSize: { readonly height: number; readonly width: number } | undefined;
  /** Where stdio goes; absent when it is not known yet. Taken over, also by a failure. */
  readonly connections?: ConnectionSet | undefined;
  readonly deadlineMs: number;
  /** Without AF_VSOCK and io_uring. */
  readonly noHostSockets: boolean;
  /** For errors. */
  readonly starts: StartSubject;
  readonly arguments: (files: StartFiles) => string[];
}

/** Where the runtime tells the process's pid, and where it sends its terminal. */
export interface StartFiles {
  readonly pidFile: string;
  readonly consoleSocket?: string | undefined;
}

export interface StartedProcess {
  readonly process: SupervisedProcess;
  readonly tty?: TtyRelay;
  readonly pipeRelay?: PipeRelay;
}

/** A runtime sends the terminal before it is done; this is for a runtime that does not. */
const terminalGraceMs = 5000;

/** sockaddr_un.sun_path holds 108 bytes, the closing NUL among them: unix(7). */
const longestSocketPath = 107;

const SIGKILL = 9;

/** After a failure, no relay, connection, file or process of it is left; of a container, its state may be. */
export async function startProcess(options: StartProcessOptions): Promise<StartedProcess> {
  const cleanups = new CleanupStack();
  // From before the runtime starts: the process may be dead before we know its pid.
  const claim = options.supervisor.claim();
  cleanups.push("close connections", () => closeConnections(options.connections ?? {}));
  try {
    const pidFile = `${options.directory}/${options.name}.pid`;
    cleanups.push("remove the pid file", () => removePidFile(options, pidFile));
    cleanups.push("kill what was started", () => killStarted(claim, pidFile));
    const started: Omit<StartedProcess, "process"> = options.terminal
      ? await startWithTerminal(options, pidFile, cleanups)
      : await startWithPipes(options, pidFile, cleanups);
    const process = adoptStarted(claim, pidFile);
    cleanups.push("kill the process", () => void process.signal(SIGKILL));
    if (options.connections) (started.tty ?? started.pipeRelay)?.start(options.connections);
    cleanups.release();
    return { process, ...started };
  } catch (error) {
    await cleanups.run();
    throw error;
  } finally {
    claim.release();
  }
}

async function startWithPipes(
  options: StartProcessOptions,
  pidFile: string,
  cleanups: CleanupStack,
): Promise<{ pipeRelay: PipeRelay }> {
  const pipeRelay = new PipeRelay(wantedPipes(options.connections));
  cleanups.push("close the pipe relay", async () => void (await pipeRelay.close()));
  const { stdin = null, stdout = null, stderr = null } = pipeRelay.childFds;
  const { directory, deadlineMs, noHostSockets, starts } = options;
  await options.command.run(options.arguments({ pidFile }), {
    directory,
    deadlineMs,
    starts,
    noHostSockets,
    stdio: [stdin, stdout, stderr],
  });
  pipeRelay.closeChildFds();
  return { pipeRelay };
}

async function startWithTerminal(
  options: StartProcessOptions,
  pidFile: string,
  cleanups: CleanupStack,
): Promise<{ tty: TtyRelay }> {
  const { consoleSocket, remove } = chooseSocket(options);
  try {
    const tty = await receiveTerminal(options, pidFile, consoleSocket);
    cleanups.push("close the terminal relay", async () => void (await tty.close()));
    return { tty };
  } finally {
    remove();
  }
}

/** @returns the terminal, which the caller closes */
async function receiveTerminal(
  options: StartProcessOptions,
  pidFile: string,
  consoleSocket: string,
): Promise<TtyRelay> {
  const abandon = new AbortController();
  // Bound before the runtime starts.
  const received = receiveFd(consoleSocket, { signal: abandon.signal }).then(async ({ fd }) => {
    // crun's exec leaves the size to its caller, and does not wait for it: the program may look before.
    const tty = new TtyRelay(fd);
    try {
      if (options.consoleSize) await tty.resize(options.consoleSize.height, options.consoleSize.width);
      return tty;
    } catch (error) {
      await tty.close();
      throw error;
    }
  });
  // It may fail while the runtime still runs, and is looked at after that.
  received.catch(() => {});
  const { directory, deadlineMs, noHostSockets, starts } = options;
  let timer: NodeJS.Timeout | undefined;
  try {
    await options.command.run(options.arguments({ pidFile, consoleSocket }), {
      directory,
      deadlineMs,
      starts,
      noHostSockets,
    });
    timer = setTimeout(() => abandon.abort(), terminalGraceMs);
  } catch (error) {
    abandon.abort();
    // It may have sent the terminal and failed after that.
    const sent = await received.catch(() => undefined);
    await sent?.close();
    throw error;
  }
  return await received
    .catch((cause: unknown) => {
      throw new AgentError("RUNTIME_FAILED", `no terminal came from ${options.command.name}`, { cause });
    })
    .finally(() => clearTimeout(timer));
}

/** @returns its path, and what takes away the directory that it needed, for when the terminal has come or never will */
function chooseSocket(options: StartProcessOptions): { consoleSocket: string; remove(): void } {
  const path = `${options.directory}/${options.name}.tty`;
  if (Buffer.byteLength(path) <= longestSocketPath) return { consoleSocket: path, remove: () => undefined };
  const short = mkdtempSync(`${tmpdir()}/tty-`);
  return { consoleSocket: `${short}/s`, remove: () => removeFlatDirectory(short) };
}

/** For a failure between the runtime's success and the adoption. */
function killStarted(claim: Claim, pidFile: string): void {
  if (existsSync(pidFile)) adoptStarted(claim, pidFile).signal(SIGKILL);
}

function adoptStarted(claim: Claim, pidFile: string): SupervisedProcess {
  const pid = takePid(pidFile);
  try {
    return claim.adopt(pid);
  } catch (cause) {
    throw new AgentError("RUNTIME_FAILED", `the runtime's pid file ${pidFile} names no process of its own`, {
      cause,
    });
  }
}

/** Of a runtime that could not write it whole, as the disk was full. */
function removePidFile({ directory, name }: StartProcessOptions, pidFile: string): void {
  // runc writes it under another name first.
  for (const file of [pidFile, `${directory}/.${name}.pid`]) removeFile(file);
}

/** Reads and removes a pid file. */
function takePid(path: string): number {
  let text: string;
  try {
    text = readFileSync(path, "latin1");
  } catch (cause) {
    throw new AgentError("RUNTIME_FAILED", `the runtime wrote no pid file ${path}`, { cause });
  }
  removeFile(path);
  const pid = Number(text);
  if (!Number.isInteger(pid) || pid <= 0)
    throw new AgentError("RUNTIME_FAILED", `the runtime's pid file ${path} holds no pid`);
  return pid;
}

/** /dev/null does for a stream that nobody wants, once that is known. */
function wantedPipes(set: ConnectionSet | undefined): PipeStreams {
  if (!set) return { stdin: true, stdout: true, stderr: true };
  return {
    stdin: set.stdin !== undefined,
    stdout: set.stdout !== undefined,
    stderr: set.stderr !== undefined,
  };
}
