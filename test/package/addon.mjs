// The addon at work where its package is installed, for a machine that QEMU emulates as a user's program: a thread that
// moves bytes into a socket, a terminal, an error by its name. That emulator has no pidfds, so no process is started.
// Arguments: the file that loads the addon, the path of a socket to be made. Tells what it saw as JSON.
import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { createConnection } from "node:net";

const [addon, path] = process.argv.slice(2);
const { getWindowSize, listen, openPty, pipe, setWindowSize, startRelay } = await import(addon);

const listener = listen({ path });
const socket = createConnection(path);
const sink = await listener.acceptFd();
const { readFd, writeFd } = pipe();
const relay = startRelay({ source: readFd, sink, shutdownSink: true });
const sent = randomBytes(1 << 20);
createWriteStream("", { fd: writeFd }).end(sent);
const received = await socket.toArray();

const { masterFd } = openPty();
setWindowSize(masterFd, 33, 99);

let error;
try {
  listen({ path: `${path}/below` });
} catch ({ code, syscall }) {
  error = [code, syscall];
}
listener.close();
console.log(
  JSON.stringify({
    architecture: process.arch,
    bytesAreTheSame: Buffer.concat(received).equals(sent),
    relay: await relay.ended,
    windowSize: getWindowSize(masterFd),
    error,
  }),
);
process.exit(0);
