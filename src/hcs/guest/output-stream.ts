import { type Duplex, Readable } from "node:stream";
import { AgentError } from "../../common/errors.ts";

/**
 * What a process writes, from the connection that carries it. A socket may tell its end before anybody listens;
 * this stream keeps it until the last byte was read. The connection is closed as soon as all has come, since the
 * guest waits for that after it has half-closed.
 */
export class OutputStream extends Readable {
  readonly #source: Duplex;

  /** @param name "stdout", for errors. */
  constructor(source: Duplex, name: string) {
    super({ highWaterMark: source.readableHighWaterMark });
    this.#source = source;
    source.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) source.pause();
    });
    const end = () => {
      this.push(null);
      source.destroy();
    };
    source.once("end", end);
    source.once("close", () => {
      if (!source.readableEnded) this.#lose(name);
    });
    source.on("error", (cause) => this.#lose(name, cause));
    if (source.readableEnded) end();
    else if (source.destroyed) this.#lose(name, source.errored ?? undefined);
    // Without a listener the loss of a stream that nobody reads would end this process; readers still learn of it.
    this.on("error", () => undefined);
  }

  override _read(): void {
    this.#source.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#source.destroy();
    done(error);
  }

  #lose(name: string, cause?: unknown): void {
    this.destroy(
      new AgentError("TRANSPORT_CLOSED", `the ${name} connection was lost before its end`, { cause }),
    );
  }
}
