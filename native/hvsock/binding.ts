import { existsSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";
import { AgentError } from "../../src/common/errors.ts";
import { isPackaged } from "../../src/common/installation.ts";

export interface RootFile {
  /** st_mode, stat(2). */
  readonly mode: number;
  /** st_uid. */
  readonly owner: number;
  /** Bytes, as stat says. */
  readonly size: number;
  /** Of a regular file; as many as were asked for, at most. */
  readonly bytes: Buffer;
}

/** Watches one descriptor on the event loop; see Poll in src/addon_poll.cc. Close it before the descriptor. */
export interface NativePoll {
  start(events: number): void;
  stop(): void;
  setKeepsLoopAlive(on: boolean): void;
  close(): void;
}

export type WaitState =
  | { readonly state: "running" | "not-a-child" }
  | { readonly state: "exited"; readonly code: number | null; readonly signal: number | null };

/** A relay in the engine; see src/addon_relay.cc. */
export interface NativeRelay {
  readonly bytes: number;
  cancel(): void;
  drain(idleMs: number, limitMs: number): void;
  setKeepsLoopAlive(on: boolean): void;
}

/** Catches one signal; see src/addon_signal.cc. */
export interface NativeSignal {
  close(): void;
}

/** What the binary exports. Functions throw Errors with `code`, `errno` and `syscall`. */
export interface Binding {
  readonly READABLE: number;
  readonly WRITABLE: number;
  readonly DISCONNECT: number;
  readonly Poll: new (fd: number, callback: (events: number) => void) => NativePoll;
  readonly Relay: new (
    source: number,
    sink: number | null,
    flags: number,
    lingerMs: number,
    onEvent: (event: number, reason: number, errno: number) => void,
  ) => NativeRelay;

  readonly SIGRTMIN: number;
  readonly SIGRTMAX: number;
  readonly Signal: new (number: number, callback: () => void) => NativeSignal;

  pipe(readNonBlocking: boolean, writeNonBlocking: boolean): [number, number];
  socketPair(): [number, number];
  openPty(): [number, number];
  setPipeSize(fd: number, bytes: number): number;
  closeFd(fd: number): void;
  closeInBackground(fd: number, callback: (error: Error | null) => void): void;
  duplicateFd(fd: number): number;
  setNonBlocking(fd: number, on: boolean): void;
  setWindowSize(fd: number, rows: number, columns: number, callback: (error: Error | null) => void): void;
  getWindowSize(fd: number): [number, number];

  startConnect(pathOrCid: string | number, port: number): [number, boolean];
  finishConnect(fd: number): void;
  listen(pathOrCid: string | number, port: number, backlog: number, mode: number): number;
  accept(fd: number): number;
  localAddress(fd: number): { path: string } | { cid: number; port: number };
  peerAddress(fd: number): { path: string } | { cid: number; port: number };
  shutdown(fd: number, how: "read" | "write"): void;
  receive(fd: number, bytes: Uint8Array, offset: number, length: number): number;
  send(fd: number, bytes: Uint8Array, offset: number, length: number): number;
  sendFd(socketFd: number, fd: number, name: string): void;
  receiveFd(socketFd: number): { fd: number; name: string } | null;
  systemError(call: string, errno: number): NodeJS.ErrnoException;

  spawn(
    candidates: readonly string[],
    args: readonly string[],
    env: readonly string[],
    cwd: string,
    stdio: readonly (number | null)[],
    newSession: boolean,
    controllingTerminal: boolean,
    noHostSockets: boolean,
    isRuntime: boolean,
    callback: (error: Error | null, pid?: number, pidfd?: number) => void,
  ): () => void;
  pidfdOpen(pid: number): number;
  pidfdSendSignal(pidfd: number, signal: number): boolean;
  reapPidfd(pidfd: number): WaitState;
  reapPid(pid: number): WaitState;

  becomeSubreaper(): void;
  startThreads(): void;

  readInRoot(
    root: string,
    path: string,
    maximum: number,
    callback: (error: Error | null, file?: RootFile | null) => void,
  ): void;
}

/** Environment variable that names the binary, for an agent that is bundled away from its source tree. */
export const binaryPathVariable = "LCOW_GCS_HVSOCK";

function findBinary(): string {
  const named = process.env[binaryPathVariable];
  if (named !== undefined && named !== "") return named;
  // In the source tree it is where node-gyp puts it, in the npm package too where it was built at its installation; a
  // bundle has it beside itself.
  const here = isPackaged ? "../../../native/hvsock/" : "./";
  const candidates = [
    "build/Release/hvsock.node",
    `prebuilds/${process.platform}-${process.arch}/hvsock.node`,
    "hvsock.node",
  ];
  const paths = candidates.map((candidate) => fileURLToPath(new URL(here + candidate, import.meta.url)));
  return paths.find((path) => existsSync(path)) ?? paths[0] ?? "";
}

function load(): Binding {
  const path = findBinary();
  const module: { exports: unknown } = { exports: {} };
  try {
    process.dlopen(module, path, constants.dlopen.RTLD_NOW);
  } catch (cause) {
    const build = isPackaged ? "npm rebuild lcow-gcs --foreground-scripts" : "npm run setup";
    const remedy = `build it with "${build}", or name it in ${binaryPathVariable}`;
    throw new AgentError("INTERNAL", `cannot load the native addon ${path}: ${remedy}`, { cause });
  }
  return module.exports as Binding;
}

/**
 * Loaded at the first use, so that a program on a machine without it can import this all the same. From then on its
 * functions are the object's own, and cost no more than before.
 */
const loadAtFirstUse: object = new Proxy(
  {},
  {
    get(_, name) {
      // Asked by whoever prints or awaits it, which is no use.
      if (typeof name === "symbol" || name === "then") return undefined;
      Object.setPrototypeOf(binding, null);
      try {
        Object.assign(binding, load());
      } catch (error) {
        Object.setPrototypeOf(binding, loadAtFirstUse);
        throw error;
      }
      return binding[name as keyof Binding];
    },
  },
);

export const binding: Binding = Object.create(loadAtFirstUse) as Binding;
