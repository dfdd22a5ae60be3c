import type { Duplex, Writable } from "node:stream";
import { stringifyJson } from "../../common/json.ts";
import type { OutputName, OutputSink } from "./output-pump.ts";
import { channels, encodeFrames, FrameReader } from "./stdio-frames.ts";

/** How a process has ended, as its client is told. */
export interface ExitMessage {
  readonly exitCode?: number;
  /** Why that is unknown, or why not all of the output came. */
  readonly error?: string;
}

/**
 * Who has connected to a process's streams. What a slow one has not taken holds the process up; one that goes is
 * written to no more, and the process runs on.
 */
export class Client implements OutputSink {
  /** Settles when it has gone. */
  readonly gone: Promise<void>;
  readonly #connection: Duplex;
  #room: PromiseWithResolvers<void> | undefined;

  /** @param stdin gets what the client sends */
  constructor(connection: Duplex, stdin: Writable | undefined) {
    this.#connection = connection;
    const hasRoom = () => {
      this.#room?.resolve();
      this.#room = undefined;
    };
    connection.on("drain", hasRoom);
    this.gone = new Promise((resolve) => {
      connection.once("close", () => {
        hasRoom();
        resolve();
      });
    });
    receiveInput(connection, stdin);
  }

  write(name: OutputName, chunk: Buffer): Promise<void> | undefined {
    return this.#send(channels[name], chunk);
  }

  /** Tells the person behind it something. */
  note(text: string): void {
    void this.#send(channels.note, Buffer.from(text));
  }

  /** The last word. */
  finish(exit: ExitMessage): void {
    void this.#send(channels.exit, Buffer.from(stringifyJson(exit)));
    this.#connection.end();
  }

  #send(channel: number, data: Buffer): Promise<void> | undefined {
    if (this.#connection.destroyed || this.#connection.writableEnded) return undefined;
    let isFull = false;
    for (const frame of encodeFrames(channel, data)) isFull = !this.#connection.write(frame);
    if (!isFull) return undefined;
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }
}

function receiveInput(connection: Duplex, stdin: Writable | undefined): void {
  const reader = new FrameReader();
  const goOn = () => connection.resume();
  stdin?.on("drain", goOn);
  stdin?.on("close", goOn);
  connection.once("close", () => {
    stdin?.off("drain", goOn);
    stdin?.off("close", goOn);
  });
  connection.on("data", (chunk: Buffer) => {
    try {
      for (const { channel, data } of reader.push(chunk)) {
        if (channel !== channels.stdin || stdin === undefined || stdin.writableEnded || stdin.destroyed)
          continue;
        if (data.length === 0) stdin.end();
        else if (!stdin.write(data)) connection.pause();
      }
    } catch {
      // What sends such frames is no client of ours.
      connection.destroy();
    }
  });
}
