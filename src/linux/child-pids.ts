import { closeSync, openSync, readdirSync, readSync } from "node:fs";
import { isSystemError } from "../common/system-error.ts";
import { readProcessStatus } from "./proc.ts";

/** Grows with the list. */
const FIRST_BYTES = 64;

/**
 * Pids of the children that were given to this process as their subreaper, zombies among them; children that it
 * started itself may be in the list or not.
 *
 * The kernel gives an orphan to the first living thread of the subreaper (find_new_reaper in kernel/exit.c), which
 * is the main thread; so its list is the only one to read. It stays open, so that it can be read when no other file
 * can be opened.
 */
export class ChildList {
  #fd = -1;
  #buffer = Buffer.alloc(FIRST_BYTES);

  /** @throws Error with code EMFILE or ENFILE */
  constructor() {
    try {
      this.#fd = openSync(`/proc/self/task/${process.pid}/children`, "r");
    } catch (error) {
      // A kernel without CONFIG_PROC_CHILDREN.
      if (!isSystemError(error, "ENOENT")) throw error;
    }
  }

  /** In a kernel that keeps no such list: @throws Error with code EMFILE or ENFILE */
  pids(): number[] {
    if (this.#fd < 0) return scanForChildren();
    let length = 0;
    for (;;) {
      if (length === this.#buffer.length) this.#buffer = Buffer.concat([this.#buffer], 2 * length);
      const got = readSync(this.#fd, this.#buffer, length, this.#buffer.length - length, length);
      if (got === 0) break;
      length += got;
    }
    const text = this.#buffer.toString("latin1", 0, length).trimEnd();
    return text === "" ? [] : text.split(" ").map(Number);
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}

/** The same by reading every process of the machine. */
export function scanForChildren(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => readProcessStatus(pid)?.parentPid === process.pid);
}
