/** Shows where a boot is, on a terminal's one line; and how long each stage took, when asked for. */
import type { BootStage } from "../hcs/qemu-uvm.ts";
import { printError } from "./output.ts";

const stages: readonly (BootStage | "container")[] = ["kernel", "init", "agent", "negotiated", "container"];

const descriptions: Readonly<Record<(typeof stages)[number], string>> = {
  kernel: "starting the kernel",
  init: "the guest's init runs",
  agent: "the agent starts",
  negotiated: "the agent has negotiated",
  container: "the container runs",
};

export class BootProgress {
  readonly #line: boolean;
  readonly #times = new Map<string, number>();
  #shown = false;

  /** @param options.times prints a line a stage, instead of one that changes. */
  constructor(options: { readonly times: boolean }) {
    this.#line = !options.times && process.stderr.isTTY === true;
    if (options.times) this.#print = (text) => printError(`${text}\n`);
  }

  #print: (text: string) => void = () => {};

  reached(stage: (typeof stages)[number], ms: number): void {
    const before = [...this.#times.values()].at(-1) ?? 0;
    this.#times.set(stage, ms);
    const seconds = (ms / 1000).toFixed(2);
    this.#print(
      `lcow: ${seconds.padStart(6)} s  (+${((ms - before) / 1000).toFixed(2)} s)  ${descriptions[stage]}`,
    );
    if (!this.#line) return;
    this.#shown = true;
    printError(`\r\x1b[Klcow: ${seconds} s  ${descriptions[stage]} ...`);
  }

  /** Takes the line away: what follows is the container's. */
  done(): void {
    if (this.#shown) printError("\r\x1b[K");
    this.#shown = false;
  }
}
