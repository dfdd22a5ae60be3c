import { constants } from "node:os";
import type { Duplex } from "node:stream";
import { isatty } from "node:tty";
import { AgentError } from "../../errors.ts";
import { channels, encodeFrames, FrameReader } from "../../hcs/serve/stdio-frames.ts";
import { parseJson } from "../../protocol/json.ts";
import { print, printError } from "../output.ts";
import { openInput } from "../run/output.ts";
import { followWindowSize, makeRaw, type WindowSize } from "../run/terminal.ts";
import { type Connection, systemPath } from "./connection.ts";

export interface Attachment {
  readonly id: string;
  readonly pid: number;
  readonly interactive: boolean;
  readonly terminal: boolean;
}

const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

/**
 * Connects this command's streams to a process's, passes signals on, and waits for its end.
 * @returns its exit code
 */
export async function attachStreams(service: Connection, attachment: Attachment): Promise<number> {
  const { id, pid, interactive, terminal } = attachment;
  const process_ = systemPath(id, `processes/${pid}`);
  const connection = await service.attach(`${process_}/attach`);
  const onSignal = (name: NodeJS.Signals) => {
    // It may just have ended, which the connection will tell.
    service.post(`${process_}/signal`, { signal: constants.signals[name] }).catch(() => undefined);
  };
  for (const name of FORWARDED) process.on(name, onSignal);
  const restore = terminal && interactive && isatty(0) ? makeRaw() : undefined;
  const resize = ({ rows, columns }: WindowSize) => {
    service.post(`${process_}/resize`, { width: columns, height: rows }).catch(() => undefined);
  };
  const unfollow = terminal ? followWindowSize(resize) : undefined;
  try {
    if (interactive) sendInput(connection);
    return await receive(connection);
  } finally {
    for (const name of FORWARDED) process.off(name, onSignal);
    unfollow?.();
    restore?.();
    connection.destroy();
  }
}

function sendInput(connection: Duplex): void {
  const input = openInput();
  const send = (data: Buffer) => {
    for (const frame of encodeFrames(channels.stdin, data)) {
      if (connection.write(frame)) continue;
      input.pause();
      connection.once("drain", () => input.resume());
    }
  };
  input.on("data", send);
  input.once("end", () => send(Buffer.alloc(0)));
  input.once("error", () => send(Buffer.alloc(0)));
  connection.once("close", () => input.destroy());
}

async function receive(connection: Duplex): Promise<number> {
  const reader = new FrameReader();
  for await (const chunk of connection as AsyncIterable<Buffer>) {
    for (const { channel, data } of reader.push(chunk)) {
      if (channel === channels.stdout) await print(data);
      if (channel === channels.stderr) printError(data);
      if (channel !== channels.exit) continue;
      const exit = parseJson(data.toString()) as { exitCode?: number; error?: string };
      if (exit.exitCode !== undefined) return exit.exitCode;
      throw new AgentError("TRANSPORT_CLOSED", exit.error ?? "how the process ended is unknown");
    }
  }
  throw new AgentError(
    "TRANSPORT_CLOSED",
    "the service closed the connection; how the process ended is unknown",
  );
}
