import { constants } from "node:os";
import { withDeadline } from "../common/deadline.ts";
import { AgentError } from "../common/errors.ts";

/**
 * The few libc calls that Node lacks, through koffi, which is loaded at the first of them: that takes 8 ms, and an
 * agent answers its host before it mounts anything. Calls that can wait for a device or another file system are made on
 * a thread of libuv's pool, few at a time, and given up after a deadline: the thread stays where it is until the kernel lets
 * it go, and what it did by then after all is undone.
 *
 * Every failure is an AgentError SYSTEM_CALL_FAILED whose message names call, argument and errno.
 */

/** <sys/mount.h>; the values are the kernel's, on every architecture. */
export const mountFlags = {
  readOnly: 0x1,
  noSuid: 0x2,
  noDev: 0x4,
  noExec: 0x8,
  synchronous: 0x10,
  remount: 0x20,
  noAtime: 0x400,
  bind: 0x1000,
  move: 0x2000,
  recursive: 0x4000,
  silent: 0x8000,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
  relatime: 1 << 21,
} as const;

/** <sys/mount.h>, umount2(2). */
export const unmountFlags = { force: 1, detach: 2, expire: 4, noFollow: 8 } as const;

/** <sys/reboot.h>, reboot(2). */
const rebootCommands = { restart: 0x01234567, halt: 0xcdef0123, powerOff: 0x4321fedc } as const;

/**
 * @param source device, directory or a name such as "proc". @param data options of the file system, "size=64k".
 * @param hold kept until the kernel is done, which may be after the deadline: what a path of /proc/self/fd leads through
 * @throws AgentError SYSTEM_CALL_FAILED, with cause code ETIMEDOUT after a minute; what is mounted later goes again
 */
export async function mount(
  source: string,
  target: string,
  type: string,
  flags: number,
  data?: string,
  hold?: Disposable,
): Promise<void> {
  await waitingCall("mount", `${type || "bind"} ${source} on ${target}`, {
    make: ({ mount: mountCall }, done) => mountCall.async(source, target, type, flags, data ?? null, done),
    undo: ({ umount2 }, done) => umount2.async(target, unmountFlags.detach | unmountFlags.noFollow, done),
    hold,
  });
}

/** @param flags of unmountFlags; 0 fails with EBUSY while the mount is used. @throws as mount() */
export async function unmount(target: string, flags = 0): Promise<void> {
  await waitingCall("umount2", target, { make: ({ umount2 }, done) => umount2.async(target, flags, done) });
}

/** Writes all file systems' dirty data to their devices; settles when it is there. @throws as mount() */
export async function sync(): Promise<void> {
  await waitingCall("sync", "", { make: (libc, done) => libc.sync.async((error) => done(error, 0)) });
}

/** Does not sync: call sync() before. Ends only by throwing. Needs CAP_SYS_BOOT. */
export async function reboot(how: keyof typeof rebootCommands): Promise<void> {
  // The C type is a signed int.
  await call("reboot", how, (libc) => libc.reboot(rebootCommands[how] | 0));
}

/**
 * Ends this process at once: nothing of Node or libuv is waited for, as process.exit() waits for a thread that sits in a
 * write which nobody reads.
 */
export async function exitNow(code: number): Promise<never> {
  try {
    bound ??= bind();
    (await bound).libc._exit(code);
  } finally {
    // It could not be loaded: no descriptor, no memory. The status is lost, and the end is not.
    process.kill(process.pid, "SIGKILL");
  }
  throw new AgentError("INTERNAL", "_exit() came back");
}

/** "ENOENT" for 2; the number itself where the name is unknown. */
export function errnoName(errno: number): string {
  for (const [name, value] of Object.entries(constants.errno)) if (value === errno) return name;
  return `errno ${errno}`;
}

/** @param result -1 for a failure, of which koffi has the errno while this runs */
type Done = (error: unknown, result: number) => void;
type Waiting<Arguments extends readonly unknown[]> = { async(...args: [...Arguments, Done]): void };

interface Libc {
  mount: Waiting<[source: string, target: string, type: string, flags: number, data: string | null]>;
  umount2: Waiting<[target: string, flags: number]>;
  sync: { async(done: (error: unknown) => void): void };
  reboot(command: number): number;
  _exit(code: number): void;
}

interface Bound {
  readonly libc: Libc;
  /** Of this thread's last call. */
  readonly errno: () => number;
}

let bound: Promise<Bound> | undefined;

async function bind(): Promise<Bound> {
  const { default: koffi } = await import("koffi");
  const library = koffi.load("libc.so.6");
  const libc = {
    mount: library.func("int mount(const char *, const char *, const char *, unsigned long, const char *)"),
    umount2: library.func("int umount2(const char *, int)"),
    sync: library.func("void sync(void)"),
    reboot: library.func("int reboot(int)"),
    _exit: library.func("void _exit(int)"),
  };
  return { libc, errno: () => koffi.errno() };
}

/** libuv's pool has four threads, of which one stays for files. */
const MOST_WAITING = 3;
/** A journal of a large disk is replayed in seconds, dirty data of a small VM written in as many. */
const WAITING_MS = 60_000;
let waitingCalls = 0;
const queue: (() => void)[] = [];

interface WaitingCall {
  readonly make: (libc: Libc, done: Done) => void;
  readonly undo?: (libc: Libc, done: Done) => void;
  readonly hold?: Disposable | undefined;
}

async function waitingCall(name: string, argument: string, { make, undo, hold }: WaitingCall): Promise<void> {
  const started = performance.now();
  const late = () => {
    const why =
      waitingCalls >= MOST_WAITING ? `, and ${waitingCalls} calls of the kind wait in the kernel` : "";
    return failure(
      name,
      argument,
      `is not done after ${WAITING_MS / 1000} s${why}`,
      Object.assign(new Error("ETIMEDOUT"), { code: "ETIMEDOUT", syscall: name }),
    );
  };
  bound ??= bind();
  const { libc, errno } = await bound.catch((error: unknown) => {
    hold?.[Symbol.dispose]();
    throw error;
  });
  let isLate = false;
  const ended = Promise.withResolvers<number>();
  const begin = () => {
    // Given up while others were in the kernel: then it is not begun.
    if (isLate) return finish();
    waitingCalls++;
    make(libc, (error, result) => {
      // Of this call only until the next one.
      const number = result === 0 ? 0 : errno();
      waitingCalls--;
      finish();
      if (error) ended.reject(error);
      else ended.resolve(number);
      // Nobody expects it any more.
      if (isLate && result === 0) undo?.(libc, () => {});
    });
  };
  const finish = () => {
    hold?.[Symbol.dispose]();
    if (waitingCalls < MOST_WAITING) queue.shift()?.();
  };
  if (waitingCalls < MOST_WAITING) begin();
  else queue.push(begin);
  const timeoutMs = Math.max(0, WAITING_MS - (performance.now() - started));
  let number: number;
  try {
    number = await withDeadline(ended.promise, name, { timeoutMs, late });
  } catch (error) {
    isLate = true;
    ended.promise.catch(() => undefined);
    throw error;
  }
  if (number === 0) return;
  const code = errnoName(number);
  throw failure(
    name,
    argument,
    `failed: ${code}`,
    Object.assign(new Error(code), { errno: number, code, syscall: name }),
  );
}

function failure(name: string, argument: string, what: string, cause: Error): AgentError {
  return new AgentError("SYSTEM_CALL_FAILED", `${name}(${argument}) ${what}`, { cause });
}

async function call(name: string, argument: string, make: (libc: Libc) => number): Promise<void> {
  bound ??= bind();
  const { libc, errno } = await bound;
  if (make(libc) === 0) return;
  const number = errno();
  const code = errnoName(number);
  throw failure(
    name,
    argument,
    `failed: ${code}`,
    Object.assign(new Error(code), { errno: number, code, syscall: name }),
  );
}
