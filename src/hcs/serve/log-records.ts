/**
 * A log's file is a sequence of records: 1 byte stream (stdio-frames.ts has the numbers), 8 bytes time (milliseconds
 * since 1970, a big-endian double), 4 bytes length (big endian), then what was written. So streams stay apart, and
 * every line has its time.
 */
export interface LogRecord {
  readonly channel: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly data: Buffer;
}

export const RECORD_HEADER_BYTES = 1 + 8 + 4;

/** A copy of the data with its header: nothing that it was cut from is kept alive. */
export function encodeRecord({ channel, time, data }: LogRecord): Buffer {
  const record = Buffer.allocUnsafe(RECORD_HEADER_BYTES + data.length);
  record.writeUInt8(channel, 0);
  record.writeDoubleBE(time, 1);
  record.writeUInt32BE(data.length, 1 + 8);
  data.copy(record, RECORD_HEADER_BYTES);
  return record;
}

/** Takes the whole records off the front. @returns what is left, the beginning of a record */
export function decodeRecords(bytes: Buffer, onRecord: (record: LogRecord) => void): Buffer {
  let at = 0;
  while (bytes.length - at >= RECORD_HEADER_BYTES) {
    const end = at + RECORD_HEADER_BYTES + bytes.readUInt32BE(at + 1 + 8);
    if (bytes.length < end) break;
    onRecord({
      channel: bytes.readUInt8(at),
      time: bytes.readDoubleBE(at + 1),
      data: bytes.subarray(at + RECORD_HEADER_BYTES, end),
    });
    at = end;
  }
  return bytes.subarray(at);
}
