import { Readable, Writable } from "node:stream";

/**
 * One of several ends of a stream that stays open when this one is closed: what HCS's pipe handles are. What is
 * read through one cannot be read through another.
 */
export function readableHandle(source: Readable): Readable {
  const handle = new Readable({
    read() {
      const chunk: unknown = source.read();
      if (chunk !== null) this.push(chunk);
      else if (source.readableEnded || source.destroyed) this.push(null);
      else wait();
    },
    destroy(error, done) {
      stop();
      done(error);
    },
  });
  const onReadable = () => {
    stop();
    handle._read(0);
  };
  const stop = () => {
    for (const event of EVENTS) source.off(event, onReadable);
  };
  const wait = () => {
    stop();
    for (const event of EVENTS) source.once(event, onReadable);
  };
  return handle;
}

const EVENTS = ["readable", "end", "close", "error"] as const;

/** The same for a stream that is written; ending the handle does not end the stream. */
export function writableHandle(target: Writable): Writable {
  const handle = new Writable({
    write(chunk, encoding, done) {
      target.write(chunk, encoding, done);
    },
  });
  // A process that reads no more is told to whoever writes, and is no reason to end ours.
  handle.on("error", () => undefined);
  return handle;
}
