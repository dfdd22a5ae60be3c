import { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { socketPair } from "../../native/hvsock/index.ts";
import { type ConnectionSet, closeConnections } from "../stdio/connection-set.ts";
import { SocketConnection } from "../stdio/socket-connection.ts";

/** The standard streams of one process, for a program that is itself what the process speaks to. */
export interface StandardStreams {
  /** For start() or execProcess(), which own it from then on. */
  readonly stdio: ConnectionSet;
  /** Ending it is the end of file of the process's standard input. */
  readonly stdin: Writable;
  /** Also the output of a process that has a terminal. */
  readonly stdout: Readable;
  readonly stderr: Readable;
  /**
   * Gives up all of it, also where it was never handed to a process. Safe at any time; needed where an output is not read
   * to its end.
   */
  close(): void;
}

/** Makes streams for a process that is to be started. @throws Error with code EMFILE or ENFILE; nothing is left then. */
export function standardStreams(): StandardStreams {
  const stdio: { -readonly [Stream in keyof ConnectionSet]: ConnectionSet[Stream] } = {};
  const sockets: Socket[] = [];
  const close = () => {
    closeConnections(stdio);
    for (const socket of sockets) socket.destroy();
  };
  const open = (stream: keyof ConnectionSet): Socket => {
    const [theirs, ours] = socketPair();
    stdio[stream] = new SocketConnection(theirs);
    // Half-open: a process that closes its standard input does not end what it says, nor the other way round.
    const socket = new Socket({ fd: ours, allowHalfOpen: true });
    sockets.push(socket);
    // A process that ended or closed its standard input early is no error of the program that writes to it: its exit says so.
    socket.on("error", () => socket.destroy());
    return socket;
  };
  try {
    const [stdin, stdout, stderr] = [open("stdin"), open("stdout"), open("stderr")];
    // Nothing comes that way but the end: the process has closed it, or is gone.
    stdin.resume().once("end", () => stdin.destroy());
    // The output's sockets are read only: when the process is done, both halves are.
    for (const socket of [stdout, stderr]) socket.end();
    return { stdio, stdin, stdout, stderr, close };
  } catch (error) {
    close();
    throw error;
  }
}
