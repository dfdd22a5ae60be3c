/**
 * Shows where a start is, the same way in all verbs: on a terminal one line that moves, taken away when it is done; in a
 * pipe nothing. And how long each stage took, when asked for.
 */
import { isatty } from "node:tty";
import type { BootStage } from "../hcs/uvm/qemu/qemu-uvm.ts";
import { errorsPrinted, printError, setStatusLine } from "./output.ts";
import { windowSize } from "./run/terminal.ts";

const descriptions = {
  root: "preparing the root file system",
  kernel: "starting the kernel",
  init: "the guest's init runs",
  agent: "the agent starts",
  negotiated: "the agent has negotiated",
  creating: "making the container",
  container: "the container runs",
} as const;
export type Stage = BootStage | keyof typeof descriptions;

/** A person sees that it goes on, and the terminal is not kept busy. */
const TICK_MS = 100;

export class Progress {
  /** There is a terminal to show it on. */
  readonly isShown: boolean;
  readonly #times: boolean;
  readonly #last: string;
  readonly #start = performance.now();
  #before = 0;
  #doing = "";
  #ticker: NodeJS.Timeout | undefined;

  /**
   * @param options.times prints a line a stage, instead of one that moves.
   * @param options.last what goes on once the agent has negotiated; default the making of a container
   */
  constructor(options: { readonly times?: boolean; readonly last?: string } = {}) {
    this.#times = options.times === true;
    this.#last = options.last ?? descriptions.creating;
    this.isShown = !this.#times && isatty(2) && process.env.TERM !== "dumb";
  }

  /** @param ms since the start, where somebody else has measured it */
  reached(stage: Stage, ms = performance.now() - this.#start): void {
    if (this.#times) {
      const more = ((ms - this.#before) / 1000).toFixed(2);
      this.#before = ms;
      printError(`lcow: ${(ms / 1000).toFixed(2).padStart(6)} s  (+${more} s)  ${descriptions[stage]}\n`);
    }
    if (stage !== "container") this.show(stage === "negotiated" ? this.#last : descriptions[stage]);
  }

  /** What goes on now. */
  show(doing: string): void {
    if (!this.isShown) return;
    this.#doing = doing;
    this.#draw();
    // What is shown is no reason to go on.
    this.#ticker ??= setInterval(() => this.#draw(), TICK_MS).unref();
  }

  /** Takes the line away: what follows is the command's. Safe more than once. */
  async done(): Promise<void> {
    clearInterval(this.#ticker);
    this.#ticker = undefined;
    if (!this.isShown) return;
    setStatusLine(undefined);
    // Else it could take away what the command writes by then.
    await errorsPrinted();
  }

  #draw(): void {
    const seconds = ((performance.now() - this.#start) / 1000).toFixed(1);
    // A line that wraps could not be taken away.
    const width = Math.max(0, (windowSize()?.columns ?? 80) - 1);
    setStatusLine(`lcow: ${seconds} s  ${this.#doing} ...`.slice(0, width));
  }
}
