import { createReadStream, createWriteStream, watch } from "node:fs";
import { rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { Readable, Writable } from "node:stream";

/** Bytes; then the file is put aside as FILE.1, whose predecessor is lost. */
const LARGEST_FILE = 16 * 1024 * 1024;

/** What a container's init has written, as it came: both streams in one file. */
export class ProcessLog {
  readonly path: string;
  #file: Writable;
  #size = 0;
  #open = 0;
  readonly #finished = Promise.withResolvers<void>();

  constructor(path: string) {
    this.path = path;
    this.#file = createWriteStream(path, { mode: 0o600 });
    // A full disk loses the log, never the container.
    this.#file.on("error", () => undefined);
  }

  /** Settles when all that was followed has ended. */
  get finished(): Promise<void> {
    return this.#finished.promise;
  }

  /** Copies all that comes, at the pace of the disk. */
  follow(stream: Readable | undefined): void {
    if (stream === undefined) return;
    this.#open++;
    stream.on("data", (chunk: Buffer) => {
      this.#size += chunk.length;
      if (!this.#file.write(chunk)) {
        stream.pause();
        this.#file.once("drain", () => stream.resume());
        this.#file.once("error", () => stream.resume());
      }
      if (this.#size > LARGEST_FILE) this.#rotate();
    });
    stream.once("close", () => {
      if (--this.#open > 0) return;
      this.#file.end(() => this.#finished.resolve());
    });
  }

  #rotate(): void {
    this.#size = 0;
    const full = this.#file;
    full.end();
    void rename(this.path, `${this.path}.1`).catch(() => undefined);
    this.#file = createWriteStream(this.path, { mode: 0o600, flags: "a" });
    this.#file.on("error", () => undefined);
  }
}

/**
 * Writes a log to `target`: what is there and, when asked to, what comes until `finished`.
 * @param finished settles when nothing more will come
 */
export async function sendLog(
  path: string,
  target: Writable,
  finished: Promise<void> | undefined,
): Promise<void> {
  let offset = 0;
  let isOver = finished === undefined;
  let wake = Promise.withResolvers<void>();
  const watcher = finished === undefined ? undefined : watch(dirname(path), () => wake.resolve());
  void finished?.then(() => {
    isOver = true;
    wake.resolve();
  });
  target.once("close", () => wake.resolve());
  try {
    for (;;) {
      const last = isOver;
      const size = (await stat(path).catch(() => undefined))?.size ?? 0;
      // Put aside meanwhile: what is in the new file comes from its start.
      if (size < offset) offset = 0;
      for await (const chunk of createReadStream(path, { start: offset })) {
        offset += (chunk as Buffer).length;
        if (!target.write(chunk))
          await new Promise((resolve) => target.once("drain", resolve).once("close", resolve));
      }
      if (last || target.destroyed) return;
      await wake.promise;
      wake = Promise.withResolvers<void>();
    }
  } finally {
    watcher?.close();
  }
}
