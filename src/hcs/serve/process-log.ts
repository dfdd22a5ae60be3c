import { type FileHandle, open, unlink } from "node:fs/promises";
import { describeError } from "../../common/errors.ts";
import { encodeRecord, RECORD_HEADER_BYTES } from "./log-records.ts";
import type { OutputName, OutputSink } from "./output-pump.ts";
import { channels } from "./stdio-frames.ts";

export interface LogOptions {
  /** Bytes of a file; then the next is begun. */
  readonly largestFile?: number;
  /** Opens a file for writing and reading; for tests of a disk that is full. */
  readonly openFile?: (path: string) => Promise<FileHandle>;
}

const LARGEST_FILE = 16 * 1024 * 1024;
/** Files that there are at most; with the next the oldest goes. */
const KEPT_FILES = 2;
/** Files that are gone but kept open for those who read slower than is written. */
const HELD_FILES = 8;
/** What may wait for the disk before the process does; bytes. */
const MOST_PENDING = 1024 * 1024;

/** A file of the log. */
export interface LogFile {
  readonly number: number;
  readonly handle: FileHandle;
  /** Bytes of whole records; what may lie beyond is none. */
  size: number;
}

/** Somebody who reads, and is as far as a file. */
export interface LogReading {
  file: number;
}

/**
 * What a container's init has written, in files PATH.0, PATH.1 and so on, the last two of which are kept. A disk that
 * is slow holds the process up; one that is full loses the log, never the container, and the log says how much.
 */
export class ProcessLog implements OutputSink {
  readonly #path: string;
  readonly #options: Required<LogOptions>;
  readonly #readings = new Set<LogReading>();
  #files: LogFile[] = [];
  #nextNumber = 0;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #flushing: Promise<void> | undefined;
  #lostBytes = 0;
  #lost = { bytes: 0, reason: "" };
  #change = Promise.withResolvers<void>();
  #isClosed = false;

  constructor(path: string, options: LogOptions = {}) {
    this.#path = path;
    this.#options = { largestFile: LARGEST_FILE, openFile: (name) => open(name, "wx+", 0o600), ...options };
  }

  write(name: OutputName, data: Buffer): Promise<void> | undefined {
    if (this.#isClosed) return undefined;
    this.#push(encodeRecord({ channel: channels[name], time: Date.now(), data }));
    return this.#pendingBytes < MOST_PENDING ? undefined : this.#flushing;
  }

  /** Oldest first. */
  get files(): readonly LogFile[] {
    return this.#files;
  }

  /** Bytes of output that the disk did not take. */
  get lostBytes(): number {
    return this.#lostBytes;
  }

  /** Those of them that the log does not tell of yet. */
  get lost(): { readonly bytes: number; readonly reason: string } {
    return this.#lost;
  }

  /** Settles at the next change: more was written, or wake() was called. */
  get changed(): Promise<void> {
    return this.#change.promise;
  }

  /** Tells those who follow that something has changed. */
  wake(): void {
    const { resolve } = this.#change;
    this.#change = Promise.withResolvers();
    resolve();
  }

  /** Settles when all that was written is in the files, or lost. */
  async flushed(): Promise<void> {
    await this.#flushing;
  }

  /** Keeps what is to be read open, within a bound. @returns ends it */
  hold(reading: LogReading): () => void {
    this.#readings.add(reading);
    return () => {
      this.#readings.delete(reading);
      this.#trim();
    };
  }

  /** Who reads has come to the next file: the one before may go. */
  advanced(): void {
    this.#trim();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#flushing;
    this.wake();
    await Promise.all(this.#files.map(({ handle }) => handle.close()));
    this.#files = [];
  }

  #push(record: Buffer): void {
    this.#pending.push(record);
    this.#pendingBytes += record.length;
    this.#flushing ??= this.#flush();
  }

  async #flush(): Promise<void> {
    // Later, so that what comes in one turn goes out in one write.
    await undefined;
    while (this.#pending.length > 0) {
      const records = this.#pending;
      this.#pending = [];
      this.#pendingBytes = 0;
      await this.#append(records);
    }
    this.#flushing = undefined;
  }

  async #append(records: readonly Buffer[]): Promise<void> {
    const output = records.reduce((sum, { length }) => sum + length - RECORD_HEADER_BYTES, 0);
    const told = this.#lost.bytes;
    const bytes = Buffer.concat(told === 0 ? records : [this.#note(), ...records]);
    try {
      const file = await this.#fileFor(bytes.length);
      await writeWhole(file, bytes);
      this.#lost = { bytes: 0, reason: "" };
    } catch (cause) {
      this.#lostBytes += output;
      this.#lost = { bytes: told + output, reason: describeError(cause) };
    }
    this.wake();
  }

  #note(): Buffer {
    const { bytes, reason } = this.#lost;
    const text = `${bytes} bytes of output are missing here, since the log could not be written: ${reason}`;
    return encodeRecord({ channel: channels.note, time: Date.now(), data: Buffer.from(text) });
  }

  async #fileFor(bytes: number): Promise<LogFile> {
    const last = this.#files.at(-1);
    if (last !== undefined && (last.size === 0 || last.size + bytes <= this.#options.largestFile))
      return last;
    const number = this.#nextNumber;
    const handle = await this.#options.openFile(`${this.#path}.${number}`);
    this.#nextNumber++;
    const next = { number, handle, size: 0 };
    this.#files.push(next);
    const aside = this.#files.at(-1 - KEPT_FILES);
    if (aside !== undefined) await unlink(`${this.#path}.${aside.number}`).catch(() => undefined);
    this.#trim();
    return next;
  }

  #trim(): void {
    while (this.#files.length > KEPT_FILES) {
      const [oldest] = this.#files;
      const isHeld = [...this.#readings].some(({ file }) => file <= (oldest?.number ?? 0));
      if (isHeld && this.#files.length <= KEPT_FILES + HELD_FILES) return;
      this.#files.shift();
      // Closed after what is being read from it. Nothing is left to lose when that fails.
      void oldest?.handle.close().catch(() => undefined);
    }
  }
}

/** All of it or, on a full disk, nothing. */
async function writeWhole(file: LogFile, bytes: Buffer): Promise<void> {
  let written = 0;
  try {
    while (written < bytes.length) {
      const { bytesWritten } = await file.handle.write(
        bytes,
        written,
        bytes.length - written,
        file.size + written,
      );
      written += bytesWritten;
    }
  } catch (cause) {
    await file.handle.truncate(file.size).catch(() => undefined);
    throw cause;
  }
  file.size += bytes.length;
}
