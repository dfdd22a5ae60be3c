import { printable, printableLines } from "../../../common/printable.ts";

/** As much of the console's end is kept for errors. */
const TAIL_BYTES = 16 * 1024;
const SHOWN_LINES = 12;

/** The end of what a guest printed. */
export class ConsoleTail {
  #text = "";

  push(chunk: string): void {
    this.#text = (this.#text + chunk).slice(-TAIL_BYTES);
  }

  get isEmpty(): boolean {
    return this.#text.trim() === "";
  }

  /** All that is kept, readable, from a line's begin. */
  get text(): string {
    const isCut = this.#text.length === TAIL_BYTES;
    const whole = isCut ? this.#text.slice(this.#text.indexOf("\n") + 1 || TAIL_BYTES) : this.#text;
    return printableLines(whole.replaceAll(/\r\n?/g, "\n"));
  }

  /** The reason that the kernel gave for stopping, if it did. */
  panic(): string | undefined {
    const reason = /Kernel panic - not syncing: ([^\r\n]*)/.exec(this.#text)?.[1]?.trim();
    return reason === undefined ? undefined : printable(reason);
  }

  /** For the end of a message. */
  summary(): string {
    return this.isEmpty ? "its console stayed empty" : `its console's last lines:\n${this.lastLines()}`;
  }

  /** The last lines, readable: control characters marked, no empty lines. */
  lastLines(): string {
    const lines = printableLines(this.#text.replaceAll(/\r\n?/g, "\n"))
      .split("\n")
      .map((line) => line.trimEnd())
      .filter((line) => line !== "");
    return lines.slice(-SHOWN_LINES).join("\n");
  }
}
