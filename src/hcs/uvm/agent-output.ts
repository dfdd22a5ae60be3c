import type { Readable } from "node:stream";
import { within } from "../../common/deadline.ts";
import { printableLines } from "../../common/printable.ts";

/** Characters; a stack trace and some lines before it. */
const KEPT = 4096;

/** What an agent writes to its log: passed on, and the end of it kept for the error that tells of its death. */
export class AgentOutput {
  #tail = "";
  readonly #ended = Promise.withResolvers<void>();

  constructor(stream: Readable | null, onText: ((text: string) => void) | undefined) {
    stream?.setEncoding("utf8");
    stream?.on("data", (text: string) => {
      onText?.(printableLines(text));
      this.#tail = (this.#tail + text).slice(-KEPT);
    });
    stream?.on("error", () => this.#ended.resolve());
    stream?.on("close", () => this.#ended.resolve());
  }

  /** Settles when all was read, or after a bound. @param timeoutMs milliseconds */
  async ended(timeoutMs: number): Promise<void> {
    await within(this.#ended.promise, timeoutMs);
  }

  /** The end of it, from a line's begin: of a line that is cut nobody could tell what it began with. */
  get tail(): string {
    const isCut = this.#tail.length === KEPT;
    return printableLines(isCut ? this.#tail.slice(this.#tail.indexOf("\n") + 1 || KEPT) : this.#tail);
  }

  /** "; its log" and the last lines, or nothing. */
  lastWords(): string {
    const text = printableLines(this.#tail.trim());
    return text === "" ? "" : `; its log ends with:\n${text}`;
  }
}
