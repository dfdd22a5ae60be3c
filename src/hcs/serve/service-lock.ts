import { type FileHandle, open, rm, stat } from "node:fs/promises";
import { AgentError } from "../../common/errors.ts";

/** <sys/file.h>, flock(2). */
const LOCK_EX = 2;
const LOCK_NB = 4;
/** How often the file may be another one once it is locked: each time a service has just ended. */
const ATTEMPTS = 10;

type Flock = (fd: number, operation: number) => number;
let flock: Promise<Flock> | undefined;

async function bind(): Promise<Flock> {
  const { default: koffi } = await import("koffi");
  return koffi.load("libc.so.6").func("int flock(int, int)") as Flock;
}

/**
 * That one service at a time has a state directory. The kernel keeps the lock for whoever holds the open file, so it
 * ends with the process, however that ends; the file's text, the process's id, is for messages only.
 */
export class ServiceLock {
  readonly #file: string;
  readonly #handle: FileHandle;

  /** @throws AgentError INVALID_STATE when another process holds it, SYSTEM_CALL_FAILED */
  static async take(file: string): Promise<ServiceLock> {
    flock ??= bind();
    const call = await flock;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const handle = await openLock(file);
      if (call(handle.fd, LOCK_EX | LOCK_NB) !== 0) {
        const pid = (await handle.readFile("utf8")).trim() || "?";
        await handle.close();
        throw new AgentError("INVALID_STATE", `a compute service runs already (process ${pid}) with ${file}`);
      }
      if (await isStill(file, handle)) {
        await handle.truncate(0);
        await handle.write(`${process.pid}\n`, 0);
        return new ServiceLock(file, handle);
      }
      // Its holder removed it after we had opened it.
      await handle.close();
    }
    throw new AgentError("SYSTEM_CALL_FAILED", `${file} is made and removed again and again`);
  }

  private constructor(file: string, handle: FileHandle) {
    this.#file = file;
    this.#handle = handle;
  }

  async release(): Promise<void> {
    await rm(this.#file, { force: true });
    await this.#handle.close();
  }
}

async function openLock(file: string): Promise<FileHandle> {
  try {
    return await open(file, "a+", 0o600);
  } catch (cause) {
    throw new AgentError("SYSTEM_CALL_FAILED", `cannot make ${file}`, { cause });
  }
}

async function isStill(file: string, handle: FileHandle): Promise<boolean> {
  const [named, opened] = await Promise.all([stat(file).catch(() => undefined), handle.stat()]);
  return named?.ino === opened.ino && named.dev === opened.dev;
}
