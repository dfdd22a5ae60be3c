import { decodeRecords, type LogRecord } from "./log-records.ts";
import type { LogFile, ProcessLog } from "./process-log.ts";
import { channels } from "./stdio-frames.ts";

export interface LogQuery {
  /** Go on as more is written, for as long as somebody writes. */
  readonly follow: boolean;
  /** The last lines only. */
  readonly tail: number | undefined;
  /** Lines begun at this time or later; milliseconds since 1970. */
  readonly since: number | undefined;
  /** Each line with the time at which it was begun in front. */
  readonly timestamps: boolean;
}

/** A piece of output, or a note about it. */
export interface LogPiece {
  readonly channel: number;
  readonly data: Buffer;
}

const READ_BYTES = 256 * 1024;

/**
 * What a log has, oldest first, across its files.
 * @param isWritten whether more may come
 * @param signal ends it when nobody wants it any more
 */
export async function* readLog(
  log: ProcessLog,
  query: LogQuery,
  isWritten: () => boolean,
  signal: AbortSignal,
): AsyncGenerator<LogPiece> {
  await log.flushed();
  const end = endOf(log);
  const reading = { file: log.files[0]?.number ?? 0 };
  const release = log.hold(reading);
  signal.addEventListener("abort", () => log.wake(), { once: true });
  try {
    const lines = new Lines(query);
    if (query.tail !== undefined) {
      for await (const record of recordsOf(log, { ...reading }, end)) lines.count(record);
      lines.skipAllBut(query.tail);
    }
    let from: Position = { file: reading.file, offset: 0 };
    for (;;) {
      // Asked before the end is looked for: what was written until then is read.
      const isLast = !query.follow || !isWritten() || signal.aborted;
      if (isLast && query.follow) await log.flushed();
      const to = query.follow ? endOf(log) : end;
      const changed = log.changed;
      for await (const record of recordsOf(log, reading, to, from)) {
        const data = lines.show(record);
        if (data.length > 0) yield { channel: record.channel, data };
        if (signal.aborted) return;
      }
      from = to;
      if (isLast) break;
      if (samePosition(to, endOf(log))) await changed;
    }
    const { bytes, reason } = log.lost;
    if (bytes > 0) yield note(`the last ${bytes} bytes of output could not be logged: ${reason}`);
  } finally {
    release();
  }
}

interface Position {
  readonly file: number;
  readonly offset: number;
}

function endOf(log: ProcessLog): Position {
  const last = log.files.at(-1);
  return { file: last?.number ?? 0, offset: last?.size ?? 0 };
}

function samePosition(one: Position, other: Position): boolean {
  return one.file === other.file && one.offset === other.offset;
}

async function* recordsOf(
  log: ProcessLog,
  reading: { file: number },
  to: Position,
  from: Position = { file: reading.file, offset: 0 },
): AsyncGenerator<LogRecord> {
  let { offset } = from;
  reading.file = from.file;
  let isCut = false;
  for (;;) {
    const file = log.files.find(({ number }) => number >= reading.file);
    if (isCut || (file !== undefined && file.number > reading.file)) {
      yield { ...note("output is missing here: more was written than is kept, before it was read"), time: 0 };
    }
    if (file === undefined || file.number > to.file) return;
    if (isCut || file.number > reading.file) offset = 0;
    isCut = false;
    reading.file = file.number;
    const end = file.number === to.file ? to.offset : file.size;
    let rest: Buffer = Buffer.alloc(0);
    while (offset < end && !isCut) {
      const chunk = await readAt(file, offset, Math.min(READ_BYTES, end - offset));
      offset += chunk.length;
      // Closed under us, since this reader was too far behind.
      isCut = chunk.length === 0;
      const records: LogRecord[] = [];
      rest = decodeRecords(rest.length === 0 ? chunk : Buffer.concat([rest, chunk]), (record) => {
        records.push(record);
      });
      yield* records;
    }
    if (file.number >= to.file) return;
    offset = 0;
    reading.file = file.number + 1;
    log.advanced();
  }
}

async function readAt({ handle }: LogFile, offset: number, length: number): Promise<Buffer> {
  const chunk = Buffer.allocUnsafe(length);
  const { bytesRead } = await handle.read(chunk, 0, length, offset).catch(() => ({ bytesRead: 0 }));
  return chunk.subarray(0, bytesRead);
}

function note(text: string): LogPiece {
  return { channel: channels.note, data: Buffer.from(text) };
}

const NEWLINE = 0x0a;

/** Which lines are shown, and how. A line may come in many records; its first says when it was begun. */
class Lines {
  readonly #query: LogQuery;
  /** Of each stream: whether the line under way is shown. Absent: the next byte begins one. */
  #underWay = new Map<number, boolean>();
  #counted = 0;
  #skip = 0;

  constructor(query: LogQuery) {
    this.#query = query;
  }

  count(record: LogRecord): void {
    this.#split(record, () => {
      const isCounted = this.#isWanted(record);
      if (isCounted) this.#counted++;
      return isCounted;
    });
  }

  skipAllBut(lines: number): void {
    this.#skip = Math.max(0, this.#counted - lines);
    this.#underWay = new Map();
  }

  show(record: LogRecord): Buffer {
    const { timestamps, since, tail } = this.#query;
    if (record.channel === channels.note) return record.data;
    if (!timestamps && since === undefined && tail === undefined) return record.data;
    const stamp = this.#query.timestamps ? `${new Date(record.time).toISOString()} ` : "";
    const shown: Buffer[] = [];
    const isBegun = () => {
      if (!this.#isWanted(record)) return false;
      if (this.#skip > 0) {
        this.#skip--;
        return false;
      }
      if (stamp !== "") shown.push(Buffer.from(stamp));
      return true;
    };
    this.#split(record, isBegun, (part) => shown.push(part));
    return shown.length === 1 ? (shown[0] as Buffer) : Buffer.concat(shown);
  }

  #isWanted({ time }: LogRecord): boolean {
    return this.#query.since === undefined || time >= this.#query.since;
  }

  #split(
    { channel, data }: LogRecord,
    onLine: () => boolean,
    onShown: (part: Buffer) => void = () => undefined,
  ): void {
    if (channel === channels.note) return;
    let at = 0;
    while (at < data.length) {
      const isShown = this.#underWay.get(channel) ?? onLine();
      const newline = data.indexOf(NEWLINE, at);
      const next = newline < 0 ? data.length : newline + 1;
      if (isShown) onShown(data.subarray(at, next));
      if (newline < 0) this.#underWay.set(channel, isShown);
      else this.#underWay.delete(channel);
      at = next;
    }
  }
}
