/** The host's ends of one process's streams. */
import type { Duplex } from "node:stream";
import { type RawHost, withDeadline } from "../helpers/raw-host.ts";

export type StreamName = "StdIn" | "StdOut" | "StdErr";

export class Stdio {
  /** As a request has them. */
  readonly ports: Record<string, number> = {};
  readonly #host: RawHost;
  readonly #streams = new Map<StreamName, Promise<Duplex>>();
  readonly #texts = new Map<StreamName, Promise<string>>();
  readonly #open = new Set<Duplex>();
  #seen = "";
  readonly #lookers = new Set<() => void>();

  /** Listens for these streams, on ports from `firstPort` on. */
  static async listen(host: RawHost, firstPort: number, names: readonly StreamName[]): Promise<Stdio> {
    const stdio = new Stdio(host);
    for (const [index, name] of names.entries()) await stdio.#listen(name, firstPort + index);
    return stdio;
  }

  private constructor(host: RawHost) {
    this.#host = host;
  }

  /** As a request asks for them: "CreateStdInPipe". */
  get wanted(): Record<string, boolean> {
    return Object.fromEntries(Object.keys(this.ports).map((name) => [`Create${name}Pipe`, true]));
  }

  async #listen(name: StreamName, port: number): Promise<void> {
    const { promise: dialled, resolve } = Promise.withResolvers<Duplex>();
    this.ports[name] = port;
    this.#streams.set(name, dialled);
    this.#texts.set(
      name,
      dialled.then((stream) => readAll(stream, (text) => this.#onText(text))),
    );
    await this.#host.listen(port, (stream) => {
      this.#open.add(stream);
      resolve(stream);
    });
  }

  async type(text: string): Promise<void> {
    (await this.#dialled("StdIn")).write(text);
  }

  /** Waits for a text in what has come since, of any stream. */
  until(text: string): Promise<void> {
    this.#seen = "";
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = () => {
      if (!this.#seen.includes(text)) return;
      this.#lookers.delete(look);
      resolve();
    };
    this.#lookers.add(look);
    return withDeadline(promise, text);
  }

  #onText(text: string): void {
    if (this.#lookers.size === 0) return;
    this.#seen += text;
    for (const look of this.#lookers) look();
  }

  /** All of a stream, once the guest has ended it. */
  text(name: StreamName): Promise<string> {
    return withDeadline(
      this.#texts.get(name) ?? Promise.reject(new Error(`no ${name}`)),
      `the end of ${name}`,
    );
  }

  /** Ends what is open and listens no more. */
  async close(): Promise<void> {
    for (const stream of this.#open) stream.destroy();
    for (const port of Object.values(this.ports)) await this.#host.stopListening(port);
  }

  #dialled(name: StreamName): Promise<Duplex> {
    return withDeadline(
      this.#streams.get(name) ?? Promise.reject(new Error(`no ${name}`)),
      `the dial of ${name}`,
    );
  }
}

async function readAll(stream: Duplex, onText: (text: string) => void): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let text = "";
  stream.on("data", (chunk: Buffer) => {
    text += chunk.toString();
    onText(chunk.toString());
  });
  stream.on("end", () => {
    stream.end();
    resolve(text);
  });
  stream.on("close", () => resolve(text));
  return promise;
}
