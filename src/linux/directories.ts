/**
 * Directories by descriptor: a path that a host names may lead through what a container can write to, where a link or
 * another directory can take the place of any part of it at any moment. So a path is walked step by step, never
 * through a link; what is done at its end is done to the very directory that was found; and only what was made here is
 * ever removed.
 *
 * The calls themselves are synchronous: in memory, as /run is, one takes a few microseconds, and a trip through the
 * thread pool a hundred.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmdirSync,
} from "node:fs";
import { AgentError, describeError } from "../common/errors.ts";
import { isSystemError } from "../common/system-error.ts";

/** <fcntl.h>: only a place in the tree; needs no right to read, and has no effect on what is opened. */
const O_PATH = 0o10000000;
const DIRECTORY = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/** One open directory. */
export class DirectoryHandle implements Disposable {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  static root(): DirectoryHandle {
    return new DirectoryHandle(openSync("/", DIRECTORY));
  }

  /** A path that leads to this very directory, for calls that take paths; with `name`, to what is in it. */
  path(name?: string): string {
    const path = `/proc/self/fd/${this.#fd}`;
    return name === undefined ? path : `${path}/${name}`;
  }

  /** @throws Error with code ENOENT, and ENOTDIR also for a link. */
  open(name: string): DirectoryHandle {
    return new DirectoryHandle(openSync(this.path(name), DIRECTORY));
  }

  /** As open(), for a name that is no text. @param path of something in this directory, by path() */
  openRaw(path: Buffer): DirectoryHandle {
    return new DirectoryHandle(openSync(path, DIRECTORY));
  }

  /** Which mount it is on: field mnt_id of proc_pid_fdinfo(5). */
  get mountId(): string {
    return /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${this.#fd}`, "utf8"))?.[1] ?? "";
  }

  /** Which directory this is. The number alone is given to the next one, once this is removed. */
  get identity(): string {
    const { dev, ino, birthtimeNs } = fstatSync(this.#fd, { bigint: true });
    return `${dev}:${ino}:${birthtimeNs}`;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

export interface MadeDirectories {
  /** The innermost directory was not there before. */
  readonly madeLast: boolean;
  /**
   * Removes, innermost first, those that were made here, up to the first that is not empty, is mounted on, or is no
   * longer the one that was made.
   */
  remove(): Promise<void>;
}

/**
 * Makes what is missing of a path.
 * @param path absolute, without "." and "..".
 * @param mode of what is made, less the umask unless `exact`
 * @throws AgentError SYSTEM_CALL_FAILED naming the path, and the link or file that is in the way.
 */
export async function makeRemovableDirectories(
  path: string,
  mode: number,
  { exact = false }: { exact?: boolean } = {},
): Promise<MadeDirectories> {
  const { handle, made } = walk(path, mode, exact);
  handle[Symbol.dispose]();
  const last = made.at(-1);
  return {
    madeLast: last !== undefined && last.path === path,
    async remove() {
      for (const directory of made.toReversed()) if (!removeMade(directory)) return;
    },
  };
}

/** @throws AgentError SYSTEM_CALL_FAILED as makeRemovableDirectories(), also where something is missing. */
export function openDirectory(path: string): DirectoryHandle {
  return walk(path).handle;
}

interface Made {
  readonly path: string;
  readonly identity: string;
}

function walk(path: string, mode?: number, exact = false): { handle: DirectoryHandle; made: Made[] } {
  const made: Made[] = [];
  let handle = DirectoryHandle.root();
  let at = "";
  try {
    for (const name of path.split("/").filter(Boolean)) {
      at = `${at}/${name}`;
      const isNew = mode !== undefined && make(handle, name, mode);
      const next = handle.open(name);
      handle[Symbol.dispose]();
      handle = next;
      if (!isNew) continue;
      made.push({ path: at, identity: handle.identity });
      if (exact) chmodSync(handle.path(), mode);
    }
    return { handle, made };
  } catch (cause) {
    const inTheWay = whatIsInTheWay(handle, at);
    handle[Symbol.dispose]();
    for (const directory of made.toReversed()) removeMade(directory);
    const what = mode === undefined ? "open" : "make";
    throw new AgentError(
      "SYSTEM_CALL_FAILED",
      `cannot ${what} directory ${JSON.stringify(path)}${inTheWay}`,
      { cause },
    );
  }
}

/** @returns whether it was not there. */
function make(parent: DirectoryHandle, name: string, mode: number): boolean {
  try {
    mkdirSync(parent.path(name), { mode });
    return true;
  } catch (error) {
    // Some file systems say what they cannot do before they say what is there.
    if (isSystemError(error, "EEXIST") || exists(parent, name)) return false;
    throw error;
  }
}

function exists(parent: DirectoryHandle, name: string): boolean {
  return lstatSync(parent.path(name), { throwIfNoEntry: false }) !== undefined;
}

function whatIsInTheWay(parent: DirectoryHandle, path: string): string {
  const found = lstatSync(parent.path(path.slice(path.lastIndexOf("/") + 1)), { throwIfNoEntry: false });
  if (found === undefined || found.isDirectory()) return "";
  return `: ${JSON.stringify(path)} is ${found.isSymbolicLink() ? "a symbolic link, and none is followed" : "no directory"}`;
}

/** @returns false when the directory has to stay. */
function removeMade({ path, identity }: Made): boolean {
  const slash = path.lastIndexOf("/");
  const name = path.slice(slash + 1);
  try {
    using parent = openDirectory(path.slice(0, slash));
    using found = openIfThere(parent, name);
    if (found === undefined) return true;
    if (found.identity !== identity) return false;
    rmdirSync(parent.path(name));
    return true;
  } catch (error) {
    // Somebody else's files are in it, or something is mounted on it, or its parent is another one now.
    if (isSystemError(error, "ENOTEMPTY", "EEXIST", "EBUSY", "ENOTDIR")) return false;
    if (error instanceof AgentError) return false;
    throw new AgentError(
      "SYSTEM_CALL_FAILED",
      `cannot remove directory ${JSON.stringify(path)}: ${describeError(error)}`,
      { cause: error },
    );
  }
}

function openIfThere(parent: DirectoryHandle, name: string): DirectoryHandle | undefined {
  try {
    return parent.open(name);
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return undefined;
    throw error;
  }
}
