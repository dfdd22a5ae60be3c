import { Socket, socketPair } from "../../native/hvsock/index.ts";
import type { ConnectionSet } from "../../src/stdio/connection-set.ts";
import { SocketConnection } from "../../src/stdio/socket-connection.ts";

/** The host's end of one stdio stream. */
export class HostStream {
  readonly #socket: Socket;
  readonly #chunks: Buffer[] = [];
  readonly #ended = Promise.withResolvers<void>();
  #waiting: (() => void)[] = [];

  constructor(fd: number) {
    this.#socket = new Socket(fd);
    this.#socket.onData = (bytes) => {
      this.#chunks.push(Buffer.from(bytes));
      for (const wake of this.#waiting.splice(0)) wake();
    };
    this.#socket.onEnd = () => this.#finish();
    this.#socket.onError = () => this.#finish();
    this.#socket.resume();
  }

  /** What has arrived so far. */
  get text(): string {
    return Buffer.concat(this.#chunks).toString();
  }

  /** All of it, once the guest is done; closes our end, as a host does. */
  async all(): Promise<string> {
    await this.#ended.promise;
    this.close();
    return this.text;
  }

  async until(expected: string): Promise<void> {
    while (!this.text.includes(expected)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      await Promise.race([
        promise,
        this.#ended.promise.then(() => Promise.reject(new Error(`ended: ${this.text}`))),
      ]);
    }
  }

  write(text: string): void {
    this.#socket.write(Buffer.from(text));
  }

  end(): void {
    this.#socket.end();
  }

  close(): void {
    this.#socket.close();
  }

  #finish(): void {
    this.#ended.resolve();
  }
}

export interface HostStdio {
  /** The guest's ends, for a relay. */
  readonly set: ConnectionSet;
  readonly stdin: HostStream;
  readonly stdout: HostStream;
  readonly stderr: HostStream;
  close(): void;
}

/** Three streams between a process and a host that is this test. */
export function hostStdio(): HostStdio {
  const make = () => {
    const [guest, host] = socketPair();
    return { connection: new SocketConnection(guest), stream: new HostStream(host) };
  };
  const [stdin, stdout, stderr] = [make(), make(), make()];
  return {
    set: { stdin: stdin.connection, stdout: stdout.connection, stderr: stderr.connection },
    stdin: stdin.stream,
    stdout: stdout.stream,
    stderr: stderr.stream,
    close() {
      for (const { connection, stream } of [stdin, stdout, stderr]) {
        connection.close();
        stream.close();
      }
    },
  };
}
