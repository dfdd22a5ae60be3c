import type { Readable } from "node:stream";
import { describeError } from "../../common/errors.ts";

export type OutputName = "stdout" | "stderr";

/** One of those that get a process's output. What it cannot keep is its own to count: it never fails the others. */
export interface OutputSink {
  /**
   * Takes a chunk. @returns undefined when it can take more at once; else a promise that settles when it can, or
   * when it is gone. It never rejects.
   */
  write(name: OutputName, chunk: Buffer): Promise<void> | undefined;
}

/**
 * Copies what a process writes to any number of sinks, each byte to each sink that is there when it comes. At most one
 * chunk of each stream is under way, so that memory is bounded by what the sinks themselves keep.
 *
 * - A sink that is slow holds up the process, as a pipe would.
 * - One that is full (a disk) drops what it cannot keep, counts it, and goes on.
 * - One that is replaced (a log that rotates, a client that comes or goes) costs the others nothing.
 * - When all are gone the output is read and dropped: a process never waits for nobody.
 */
export class OutputPump {
  /** Settles when all output has ended and every sink has taken it. */
  readonly finished: Promise<void>;
  readonly #sinks = new Set<OutputSink>();
  #bytes = 0;
  #waiting = 0;
  #cut: string | undefined;

  constructor(streams: { readonly [Name in OutputName]?: Readable }, sinks: Iterable<OutputSink>) {
    for (const sink of sinks) this.#sinks.add(sink);
    this.finished = Promise.all([
      this.#copy("stdout", streams.stdout),
      this.#copy("stderr", streams.stderr),
    ]).then(() => undefined);
  }

  /** From here on the sink gets what comes. @returns takes it off again */
  add(sink: OutputSink): () => void {
    this.#sinks.add(sink);
    return () => void this.#sinks.delete(sink);
  }

  /** How much has come. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether a sink holds the process up. */
  get isHeldUp(): boolean {
    return this.#waiting > 0;
  }

  /** Why there is less output than there was, once it has ended. */
  get cut(): string | undefined {
    return this.#cut;
  }

  async #copy(name: OutputName, stream: Readable | undefined): Promise<void> {
    if (stream === undefined) return;
    try {
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        this.#bytes += chunk.length;
        const waits = [...this.#sinks].map((sink) => sink.write(name, chunk)).filter(Boolean);
        if (waits.length === 0) continue;
        this.#waiting++;
        await Promise.all(waits);
        this.#waiting--;
      }
    } catch (cause) {
      this.#cut ??= describeError(cause);
    }
  }
}
