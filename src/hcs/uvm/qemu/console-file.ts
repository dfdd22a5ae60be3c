import { closeSync, constants, fstatSync, openSync, renameSync, writeSync } from "node:fs";
import { AgentError } from "../../../common/errors.ts";

/** Bytes; then the file is put aside as FILE.1, whose predecessor is lost. */
const LARGEST_FILE = 16 * 1024 * 1024;

/**
 * A copy of a guest's console in a file of bounded size: what a guest prints must not fill the host's disk. A terminal or
 * pipe gets it all, as far as it takes it at once.
 */
export class ConsoleFile implements Disposable {
  readonly #path: string;
  readonly #rotates: boolean;
  #fd: number;
  #size = 0;

  /** @throws AgentError INVALID_ARGUMENT when the file cannot be written */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#fd = open(path);
    } catch (cause) {
      throw new AgentError("INVALID_ARGUMENT", `the console's file ${path} cannot be written`, { cause });
    }
    this.#rotates = fstatSync(this.#fd).isFile();
  }

  /** Never throws: a full disk loses the copy, not the machine. */
  write(text: string): void {
    if (this.#fd < 0) return;
    try {
      if (this.#rotates && this.#size >= LARGEST_FILE) this.#rotate();
      this.#size += writeSync(this.#fd, text);
    } catch {
      // A full disk, or a pipe whose reader is slow or gone: the console's end is kept elsewhere, for errors.
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #rotate(): void {
    renameSync(this.#path, `${this.#path}.1`);
    const full = this.#fd;
    this.#fd = open(this.#path);
    this.#size = 0;
    closeSync(full);
  }
}

function open(path: string): number {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC;
  // A pipe that nobody reads is an error, not a wait.
  return openSync(path, flags | constants.O_NONBLOCK | constants.O_NOCTTY, 0o600);
}
