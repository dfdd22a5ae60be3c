/**
 * Relays between a process's connections and a producer in JavaScript, such as node-pty's terminal: for what has no
 * descriptor that a native relay could take over.
 */
import { Socket } from "../../native/hvsock/index.ts";
import type { ConnectionSet } from "./connection-set.ts";

export interface StreamEnd {
  /** Takes the host's bytes. */
  write(bytes: Buffer): void;
  /** The host does not keep up: no more push() until resume(). */
  pause(): void;
  resume(): void;
}

/** How long the host may take to close its end after the last byte, milliseconds. */
const LINGER_MS = 5000;

/** Owns the connections from its construction on. */
export class StreamRelay {
  readonly #input: Socket | undefined;
  readonly #output: Socket | undefined;
  #linger: NodeJS.Timeout | undefined;

  constructor(connections: ConnectionSet, process: StreamEnd) {
    const { stdin, stdout, stderr } = connections;
    stderr?.close();
    this.#input = stdin === undefined ? undefined : new Socket(stdin.release());
    this.#output = stdout === undefined ? undefined : new Socket(stdout.release());
    if (this.#input !== undefined) {
      const input = this.#input;
      // A copy: the socket's buffer is valid during the call only.
      input.onData = (bytes) => process.write(Buffer.from(bytes));
      input.onEnd = () => input.close();
      input.onError = () => input.close();
      input.resume();
    }
    if (this.#output !== undefined) {
      const output = this.#output;
      const close = () => {
        clearTimeout(this.#linger);
        output.close();
        // Without a host to read them bytes are dropped; the process goes on.
        process.resume();
      };
      output.onDrain = () => process.resume();
      output.onError = close;
      output.onEnd = close;
      output.resume();
      this.#pause = () => process.pause();
    }
  }

  #pause = (): void => {};

  /** Bytes of the process for the host; dropped when there is none. They must not be changed afterwards. */
  push(bytes: Buffer): void {
    if (this.#output === undefined || this.#output.fd < 0) return;
    if (!this.#output.write(bytes)) this.#pause();
  }

  /** The process has ended: what was pushed is sent, then the write side is shut down and the host's close awaited. */
  end(): void {
    this.#input?.close();
    const output = this.#output;
    if (output === undefined || output.fd < 0) return;
    output.end();
    this.#linger = setTimeout(() => output.close(), LINGER_MS);
  }
}
