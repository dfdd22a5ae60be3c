/** What the tests of sockets, relays and transports share. */
import { spawn as nodeSpawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  closeFd,
  pidfdOpen,
  pidfdSendSignal,
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
import { compileProgram } from "../../helpers/c-program.ts";

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

const LEASE = `
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
fcntl.fcntl(os.open(sys.argv[1], os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
sys.stdin.read()`;

/**
 * Makes whoever opens or executes a file wait in the kernel, as behind a share whose server does not answer: at most
 * 45 s, and less when it is killed.
 */
export async function leaseOn(
  t: { teardown(handler: () => void): void },
  path: string,
): Promise<{ release(): Promise<void> }> {
  const holder = nodeSpawn("python3", ["-c", LEASE, path], { stdio: ["pipe", "pipe", "inherit"] });
  t.teardown(() => void holder.kill("SIGKILL"));
  await once(holder.stdout, "data");
  return {
    release: async () => {
      holder.stdin.end();
      holder.stdout.resume();
      await once(holder, "close");
    },
  };
}

export interface StuckWriter {
  /** The reading end of the pipe, on which every call but poll(2) now sleeps in the kernel. */
  readonly source: number;
  /** Lets the write go on; the program ends with 0. */
  release(): void;
  readonly child: SpawnedProcess;
}

/** A program that hangs in a write of 4096 zeros to a pipe, with the kernel's lock on it; `before` is in the pipe. */
export async function stuckWriter(
  t: { teardown(handler: () => void): void },
  before: string,
  { source, processEnd } = outputPipe(),
): Promise<StuckWriter> {
  const [errors, theirErrors] = socketPair();
  const [input, theirInput] = socketPair();
  const child = await spawn({
    path: compileProgram("stuck-writer"),
    args: ["stuck-writer", before],
    stdio: [theirInput, processEnd, theirErrors],
  });
  const kill = pidfdOpen(child.pid);
  t.teardown(() => {
    pidfdSendSignal(kill, 9);
    for (const fd of [kill, input]) closeFd(fd);
  });
  for (const fd of [theirInput, theirErrors, processEnd]) closeFd(fd);
  const socket = new Socket(errors);
  const said = new Promise<string>((resolve) => {
    socket.onData = (bytes) => resolve(bytes.toString());
  });
  socket.resume();
  const word = await patiently("the program's word", said);
  socket.close();
  if (word !== "stuck\n") throw new Error(`the program said ${word}`);
  return { source, child, release: () => void writeSync(input, "x") };
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

/** The engine keeps three fds of its own, and two threads, from the first relay on: start it before they are counted. */
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
