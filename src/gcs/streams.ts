/** The byte streams a bridge can run over: a socket that was dialled, or standard input and output. */
import { Socket } from "../../native/hvsock/index.ts";
import type { Connection } from "../stdio/transport.ts";
import type { ByteStream } from "./bridge/connection.ts";

/** Bytes that a host may leave unread before no more of its requests are read. */
const MOST_OWED = 4 * 1024 * 1024;

export function socketStream(connection: Connection): ByteStream {
  const socket = new Socket(connection.release(), { highWaterMark: MOST_OWED });
  return {
    start({ onData, onDrain, onClose }) {
      const end = (error: Error | undefined) => {
        socket.close();
        onClose(error);
      };
      socket.onData = onData;
      socket.onDrain = onDrain;
      socket.onEnd = () => end(undefined);
      socket.onError = end;
      socket.resume();
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    // After an error or a close its owner is told by onClose, and keeps what was not sent.
    write: (bytes) => socket.fd < 0 || socket.write(bytes),
    get bytesSent() {
      return socket.bytesSent;
    },
    close: () => socket.close(),
  };
}

export function standardStream(): ByteStream {
  const { stdin, stdout } = process;
  let bytesSent = 0;
  return {
    start({ onData, onDrain, onClose }) {
      stdout.on("drain", onDrain);
      stdin.on("data", onData);
      stdin.once("end", () => onClose(undefined));
      stdin.once("error", onClose);
      stdout.once("error", onClose);
    },
    pause: () => stdin.pause(),
    resume: () => stdin.resume(),
    write(bytes) {
      stdout.write(bytes, (error) => {
        if (!error) bytesSent += bytes.length;
      });
      return stdout.writableLength < MOST_OWED;
    },
    get bytesSent() {
      return bytesSent;
    },
    close: () => stdin.destroy(),
  };
}
