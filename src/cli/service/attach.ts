import type { Duplex } from "node:stream";
import { isatty } from "node:tty";
import { AgentError } from "../../common/errors.ts";
import { parseJson } from "../../common/json.ts";
import { channels, encodeFrames, FrameReader } from "../../hcs/serve/stdio-frames.ts";
import { OutputError, passError, print, say } from "../output.ts";
import { openInput } from "../run/output.ts";
import { SignalForwarder } from "../run/signals.ts";
import { followWindowSize, makeRaw, type WindowSize } from "../run/terminal.ts";
import { type Connection, systemPath } from "./connection.ts";
import { withProgress } from "./starting.ts";

export interface AttachedProcess {
  readonly id: string;
  /** The call that starts it, and what that is told: "start", "processes". */
  readonly call: string;
  readonly body: object;
  readonly interactive: boolean;
  readonly terminal: boolean;
}

/** SIGKILL ended the command, or it cannot be told whether it did. */
const KILLED = 128 + 9;
const FAILED = 125;

/**
 * Starts a process of a kept system and connects this command's streams and signals to it, as `lcow run` does.
 * @returns its exit code; 128+N when signal N came before it was started
 */
export async function startAttached(service: Connection, wanted: AttachedProcess): Promise<number> {
  const { id, call, body } = wanted;
  const signals = new SignalForwarder(say);
  try {
    const post = () => service.post(systemPath(id, call), { ...body, attach: true }, signals.aborted);
    const answer = await (call === "start" ? withProgress(service, id, post) : post());
    const { pid } = answer as { pid?: number };
    if (pid === undefined) return 0;
    return await attachStreams(service, { ...wanted, pid }, signals);
  } catch (error) {
    if (signals.abortStatus !== undefined) return signals.abortStatus;
    throw error;
  } finally {
    signals.stop();
  }
}

export interface Attachment {
  readonly id: string;
  readonly pid: number;
  readonly interactive: boolean;
  readonly terminal: boolean;
}

/** Connects this command's streams and signals to a process that is there. @returns its exit code */
export async function attachStreams(
  service: Connection,
  { id, pid, interactive, terminal }: Attachment,
  signals: SignalForwarder,
): Promise<number> {
  const process = systemPath(id, `processes/${pid}`);
  const connection = await service.attach(`${process}/attach`);
  signals.forwardTo({ signal: (signal) => service.post(`${process}/signal`, { signal }) });
  const restore = terminal && interactive && isatty(0) ? makeRaw() : undefined;
  const resize = ({ rows, columns }: WindowSize) => {
    // A window that could not be resized is no reason to end what runs in it.
    service.post(`${process}/resize`, { width: columns, height: rows }).catch(() => undefined);
  };
  const unwatch = service.watch(id, say);
  const unfollow = terminal ? followWindowSize(resize) : undefined;
  try {
    if (interactive) sendInput(connection);
    const exit = receive(connection, () => signals.readerGone());
    // The caller's second Ctrl-C wins, whatever the service does.
    return await Promise.race([exit, signals.gaveUp.then(() => KILLED)]);
  } finally {
    unwatch();
    unfollow?.();
    restore?.();
    connection.destroy();
  }
}

function sendInput(connection: Duplex): void {
  const input = openInput();
  const send = (data: Buffer) => {
    for (const frame of encodeFrames(channels.stdin, data)) {
      if (!connection.write(frame)) input.pause();
    }
  };
  connection.on("drain", () => input.resume());
  input.on("data", send);
  input.once("end", () => send(Buffer.alloc(0)));
  input.once("error", () => send(Buffer.alloc(0)));
  connection.once("close", () => input.destroy());
}

/** @param onReaderGone called when what the process writes to standard output cannot be passed on any more */
async function receive(connection: Duplex, onReaderGone: () => void): Promise<number> {
  const reader = new FrameReader();
  let lost: OutputError | undefined;
  const show = async (data: Buffer) => {
    if (lost !== undefined) return;
    try {
      await print(data);
    } catch (error) {
      if (!(error instanceof OutputError)) throw error;
      lost = error;
      onReaderGone();
    }
  };
  for await (const chunk of connection as AsyncIterable<Buffer>) {
    for (const { channel, data } of reader.push(chunk)) {
      if (channel === channels.stdout) await show(data);
      if (channel === channels.stderr) await passError(data);
      if (channel === channels.note) say(data.toString());
      if (channel === channels.exit) return exitStatus(data, lost);
    }
  }
  throw new AgentError(
    "TRANSPORT_CLOSED",
    "the service closed the connection; how the process ended is unknown",
  );
}

function exitStatus(message: Buffer, lost: OutputError | undefined): number {
  const { exitCode, error } = parseJson(message.toString()) as { exitCode?: number; error?: string };
  if (exitCode === undefined) {
    throw new AgentError("TRANSPORT_CLOSED", error ?? "how the process ended is unknown");
  }
  if (error !== undefined) say(`output is missing: ${error}`);
  if (lost !== undefined && !lost.isReaderGone) say(lost.message);
  const isWhole = error === undefined && (lost === undefined || lost.isReaderGone);
  return exitCode === 0 && !isWhole ? FAILED : exitCode;
}
