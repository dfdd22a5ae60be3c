import type { Duplex, Readable } from "node:stream";
import { describeError } from "../../errors.ts";
import { stringifyJson } from "../../protocol/json.ts";
import type { Process } from "../compute/process.ts";
import { channels, encodeFrames, FrameReader } from "./stdio-frames.ts";

/** How long the end of the output may be waited for, once the process has exited; others may hold its pipes. */
const DRAIN_TIMEOUT_MS = 2_000;

/**
 * Carries a process's streams over a connection, then its exit. Settles when all of it is sent, or nobody is there
 * any more; then the process's stdin is at its end and its output goes nowhere.
 */
export async function attachProcess(process: Process, connection: Duplex): Promise<void> {
  const { stdin, stdout, stderr } = process.stdio();
  const reader = new FrameReader();
  connection.on("data", (chunk: Buffer) => {
    try {
      for (const { channel, data } of reader.push(chunk)) {
        if (channel !== channels.stdin || stdin === undefined || stdin.writableEnded) continue;
        if (data.length === 0) stdin.end();
        else if (!stdin.write(data)) {
          connection.pause();
          const go = () => connection.resume();
          stdin.once("drain", go).once("close", go);
        }
      }
    } catch {
      connection.destroy();
    }
  });
  const gone = new Promise<void>((resolve) => connection.once("close", () => resolve()));
  const output = Promise.all([
    send(stdout, channels.stdout, connection),
    send(stderr, channels.stderr, connection),
  ]);
  const exit = await Promise.race([exitOf(process), gone.then(() => undefined)]);
  if (exit === undefined) {
    stdin?.end();
    stdout?.resume();
    stderr?.resume();
    return;
  }
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, DRAIN_TIMEOUT_MS);
  await Promise.race([output, late, gone]);
  clearTimeout(timer);
  for (const frame of encodeFrames(channels.exit, Buffer.from(stringifyJson(exit)))) connection.write(frame);
  connection.end();
}

async function exitOf(process: Process): Promise<{ exitCode: number } | { error: string }> {
  try {
    return { exitCode: await process.wait() };
  } catch (error) {
    return { error: describeError(error) };
  }
}

async function send(stream: Readable | undefined, channel: number, connection: Duplex): Promise<void> {
  if (stream === undefined) return;
  const closed = new Promise((resolve) => stream.once("close", resolve));
  stream.on("data", (chunk: Buffer) => {
    if (connection.destroyed) return;
    let isFull = false;
    for (const frame of encodeFrames(channel, chunk)) isFull = !connection.write(frame) || isFull;
    if (!isFull) return;
    stream.pause();
    const go = () => stream.resume();
    connection.once("drain", go).once("close", go);
  });
  await closed;
  if (!connection.destroyed) {
    for (const frame of encodeFrames(channel, Buffer.alloc(0))) connection.write(frame);
  }
}
