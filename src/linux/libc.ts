import { constants } from "node:os";
import { AgentError } from "../common/errors.ts";

/**
 * The few libc calls that Node lacks, through koffi, which is loaded at the first of them: that takes 8 ms, and an
 * agent answers its host before it mounts anything. The calls themselves block the thread until the kernel is done.
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

/** @param source device, directory or a name such as "proc". @param data options of the file system, "size=64k". */
export async function mount(
  source: string,
  target: string,
  type: string,
  flags: number,
  data?: string,
): Promise<void> {
  await call("mount", `${type || "bind"} ${source} on ${target}`, (libc) =>
    libc.mount(source, target, type, flags, data ?? null),
  );
}

/** @param flags of unmountFlags; 0 fails with EBUSY while the mount is used. */
export async function unmount(target: string, flags = 0): Promise<void> {
  await call("umount2", target, (libc) => libc.umount2(target, flags));
}

/** Writes all file systems' dirty data to their devices; settles when it is there. */
export async function sync(): Promise<void> {
  await call("sync", "", (libc) => {
    libc.sync();
    return 0;
  });
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
  bound ??= bind();
  (await bound).libc._exit(code);
  throw new AgentError("INTERNAL", "_exit() came back");
}

/** "ENOENT" for 2; the number itself where the name is unknown. */
export function errnoName(errno: number): string {
  for (const [name, value] of Object.entries(constants.errno)) if (value === errno) return name;
  return `errno ${errno}`;
}

interface Libc {
  mount(source: string, target: string, type: string, flags: number, data: string | null): number;
  umount2(target: string, flags: number): number;
  sync(): void;
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

async function call(name: string, argument: string, make: (libc: Libc) => number): Promise<void> {
  bound ??= bind();
  const { libc, errno } = await bound;
  if (make(libc) === 0) return;
  const number = errno();
  const code = errnoName(number);
  throw new AgentError("SYSTEM_CALL_FAILED", `${name}(${argument}) failed: ${code}`, {
    cause: Object.assign(new Error(code), { errno: number, code, syscall: name }),
  });
}
