/** The byte streams a bridge can run over: a socket that was dialled, or standard input and output. */
import { Socket } from "../../native/hvsock/index.ts";
import type { Connection } from "../stdio/transport.ts";
import type { ByteStream } from "./bridge/connection.ts";

export function socketStream(connection: Connection): ByteStream {
  const socket = new Socket(connection.release());
  return {
    start({ onData, onClose }) {
      const end = (error: Error | undefined) => {
        socket.close();
        onClose(error);
      };
      socket.onData = onData;
      socket.onEnd = () => end(undefined);
      socket.onError = end;
      socket.resume();
    },
    write(bytes) {
      // After an error or a close its owner is told by onClose, and keeps what was not sent.
      if (socket.fd >= 0) socket.write(bytes);
    },
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
    start({ onData, onClose }) {
      stdin.on("data", onData);
      stdin.once("end", () => onClose(undefined));
      stdin.once("error", onClose);
      stdout.once("error", onClose);
    },
    write(bytes) {
      stdout.write(bytes, (error) => {
        if (!error) bytesSent += bytes.length;
      });
    },
    get bytesSent() {
      return bytesSent;
    },
    close: () => stdin.destroy(),
  };
}
