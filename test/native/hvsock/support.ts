/** What the tests of sockets, relays and transports share. */
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  closeFd,
  pipe,
  Socket,
  type SpawnedProcess,
  setNonBlocking,
  setPipeSize,
  socketPair,
  spawn,
  startRelay,
  waitPidfd,
} from "../../../native/hvsock/index.ts";

/** Anything that waits this long has failed. */
export const patienceMs = 60_000;

export function temporaryDirectory(t: { teardown(handler: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), "hvsock-"));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export function countFds(): number {
  return readdirSync("/proc/self/fd").length;
}

export function countThreads(): number {
  return readdirSync("/proc/self/task").length;
}

/** Waits for what only a moment can bring (a thread's exit, the kernel's accounting), bounded by patienceMs. */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!holds()) {
    if (performance.now() > end) throw new Error(`never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Awaits what does not keep the event loop alive by itself, bounded by patienceMs. */
export async function patiently<Value>(what: string, promise: Promise<Value>): Promise<Value> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`never came: ${what}`)), patienceMs);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

export function bytesOf(length: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let state = (seed * 2654435761 + 1) >>> 0;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

export interface Received {
  readonly length: number;
  readonly sha256: string;
}

export function digestOf(bytes: Uint8Array, times = 1): Received {
  const hash = createHash("sha256");
  for (let i = 0; i < times; i++) hash.update(bytes);
  return { length: bytes.length * times, sha256: hash.digest("hex") };
}

/** Reads a socket to its end and closes it. */
export function receiveAll(fd: number): Promise<Received> {
  const socket = new Socket(fd);
  const hash = createHash("sha256");
  let length = 0;
  const { promise, resolve, reject } = Promise.withResolvers<Received>();
  socket.onData = (bytes) => {
    hash.update(bytes);
    length += bytes.length;
  };
  socket.onEnd = () => {
    socket.close();
    resolve({ length, sha256: hash.digest("hex") });
  };
  socket.onError = (error) => {
    socket.close();
    reject(error);
  };
  socket.resume();
  return promise;
}

/** Reads a socket to its end as text and closes it. */
export function receiveText(fd: number): Promise<string> {
  const socket = new Socket(fd);
  const parts: Buffer[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  socket.onData = (bytes) => void parts.push(Buffer.from(bytes));
  socket.onEnd = () => {
    socket.close();
    resolve(Buffer.concat(parts).toString());
  };
  socket.onError = (error) => {
    socket.close();
    reject(error);
  };
  socket.resume();
  return promise;
}

/** Sends `bytes` so many times as fast as the other side reads, then shuts the write side down. */
export async function sendAll(socket: Socket, bytes: Uint8Array, times = 1): Promise<void> {
  for (let i = 0; i < times; i++) await socket.writeAll(bytes);
  socket.end();
}

type Stdio = readonly [number | null, number | null, number | null];

/** Starts `sh -c SCRIPT`. */
export function shell(script: string, stdio: Stdio, ...args: string[]): Promise<SpawnedProcess> {
  return spawn({ path: "/bin/sh", args: ["sh", "-c", script, "sh", ...args], stdio });
}

/** Waits for a process and frees its pidfd. */
export async function exitOf(child: SpawnedProcess): Promise<{ code: number | null; signal: number | null }> {
  try {
    return await waitPidfd(child.pidfd, { keepsLoopAlive: true });
  } finally {
    closeFd(child.pidfd);
  }
}

/** A field of /proc/self/status in KiB. */
export function statusKiB(field: string): number {
  const line = readFileSync("/proc/self/status", "utf8")
    .split("\n")
    .find((entry) => entry.startsWith(`${field}:`));
  return Number.parseInt(line?.split(/\s+/)[1] ?? "", 10);
}

export const mebibyte = 1024 * 1024;

/** The engine keeps three fds of its own from the first relay on: start it before fds are counted. */
export async function startRelayEngine(): Promise<void> {
  const { readFd, writeFd } = pipe();
  closeFd(writeFd);
  await startRelay({ source: readFd, sink: "discard" }).closed;
}

/** A pipe as a process's output, with the relay's end and the process's end. */
export function outputPipe(): { source: number; processEnd: number } {
  const { readFd, writeFd } = pipe();
  setPipeSize(readFd);
  return { source: readFd, processEnd: writeFd };
}

/** Writes until neither buffers nor a relay behind them take another byte, and tells how much that was. */
export async function fillUp(fd: number): Promise<number> {
  const block = bytesOf(64 * 1024, 6);
  setNonBlocking(fd, true);
  let total = 0;
  for (let idle = 0; idle < 3; idle++) {
    try {
      for (;;) {
        total += writeSync(fd, block);
        idle = 0;
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return total;
}

/** Both ends of what bytes flow through, the reading one first. */
export const channels = {
  pipe: (): [number, number] => {
    const { source, processEnd } = outputPipe();
    return [source, processEnd];
  },
  socket: socketPair,
};
