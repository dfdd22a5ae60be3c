/**
 * Where log lines go. The stream may be a pipe or a socket whose other end stalls or vanishes: neither may
 * block or end the agent. Lines wait in a bounded buffer while a write is under way in libuv's pool; what does
 * not fit, or cannot be written, is dropped and counted, and the count is told when the stream takes lines again.
 */
import { write } from "node:fs";
import { untilWritable } from "../../../native/hvsock/index.ts";

/** Bytes that may wait for the stream. */
const MAXIMUM_PENDING = 1024 * 1024;

export class LogStream {
  readonly #fd: number;
  readonly #droppedLine: (count: number) => string;
  #pending: string[] = [];
  #pendingSize = 0;
  #writing = false;
  #dropped = 0;
  #idle: (() => void)[] = [];

  constructor(fd: number, droppedLine: (count: number) => string) {
    this.#fd = fd;
    this.#droppedLine = droppedLine;
  }

  write(line: string): void {
    if (this.#pendingSize + line.length > MAXIMUM_PENDING) {
      this.#dropped++;
      return;
    }
    this.#pending.push(line);
    this.#pendingSize += line.length;
    if (!this.#writing) {
      this.#writing = true;
      // Lines of one turn go out in one write.
      setImmediate(() => this.#flush());
    }
  }

  /** Resolves when nothing is pending, or after `timeoutMs`. @returns whether nothing is */
  drained(timeoutMs: number): Promise<boolean> {
    if (!this.#writing) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs, false);
      this.#idle.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  #flush(): void {
    const lines = this.#pending;
    if (lines.length === 0) {
      this.#writing = false;
      for (const resolve of this.#idle.splice(0)) resolve();
      return;
    }
    this.#pending = [];
    this.#pendingSize = 0;
    const told = this.#dropped;
    const text = (told > 0 ? this.#droppedLine(told) : "") + lines.join("");
    this.#writeAll(Buffer.from(text), (failed) => {
      if (failed) this.#dropped += lines.length;
      else this.#dropped -= told;
      this.#flush();
    });
  }

  #writeAll(bytes: Buffer, done: (failed: boolean) => void): void {
    write(this.#fd, bytes, (error, written) => {
      if (error?.code === "EAGAIN") {
        untilWritable(this.#fd).then(
          () => this.#writeAll(bytes, done),
          () => done(true),
        );
      } else if (error) done(true);
      else if (written < bytes.length) this.#writeAll(bytes.subarray(written), done);
      else done(false);
    });
  }
}
