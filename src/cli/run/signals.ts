import { constants } from "node:os";
import type { GuestProcess } from "../../hcs/guest-process.ts";

const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
type Forwarded = (typeof FORWARDED)[number];
/** How long a command may take to end on SIGTERM, SIGHUP or SIGQUIT; what `docker stop` gives. */
const GRACE_MS = 10_000;
/** After that much silence the user of Ctrl-C is told what else there is. */
const HINT_MS = 2_000;
/** How long a command may go on when nobody reads its output any more. */
const PIPE_GRACE_MS = 500;
/** How long after SIGKILL the output may still find a reader. */
const OUTPUT_MS = 3_000;

/**
 * Our signals become the container's. Before there is a process to signal, they abort the start.
 *
 * A container's init is not ended by a signal it has no handler for; pid_namespaces(7). So a signal that asks for
 * the end is followed by SIGKILL: at the second Ctrl-C, or after a grace period.
 */
export class SignalForwarder {
  readonly #abort = new AbortController();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #gaveUp = Promise.withResolvers<void>();
  readonly #say: (text: string) => void;
  #process: GuestProcess | undefined;
  #interrupts = 0;
  #received: Forwarded | undefined;

  /** @param say tells the user something. */
  constructor(say: (text: string) => void) {
    this.#say = say;
    for (const name of FORWARDED) process.on(name, this.#onSignal);
  }

  /** Fires when a signal comes before forwardTo(). */
  get aborted(): AbortSignal {
    return this.#abort.signal;
  }

  /** Settles some time after the command was killed: output that nobody takes by then is not waited for. */
  get gaveUp(): Promise<void> {
    return this.#gaveUp.promise;
  }

  /** 128+N for the signal that aborted the start. */
  get abortStatus(): number | undefined {
    if (!this.#abort.signal.aborted || this.#received === undefined) return undefined;
    return 128 + constants.signals[this.#received];
  }

  forwardTo(process: GuestProcess): void {
    this.#process = process;
  }

  /**
   * Nobody reads the command's output any more: what ends a program in a pipeline ends it here, too. The guest
   * does not pass on the loss of a reader, and process 1 has no default action for SIGPIPE.
   */
  readerGone(): void {
    this.#send(constants.signals.SIGPIPE);
    this.#after(PIPE_GRACE_MS, () => this.#send(constants.signals.SIGKILL));
  }

  /** The command has ended: signals do nothing any more, since only cleaning up is left to do. */
  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#process = undefined;
    this.#abort.abort();
  }

  readonly #onSignal = (name: NodeJS.Signals): void => {
    const signal = name as Forwarded;
    if (this.#process === undefined) {
      this.#received ??= signal;
      this.#abort.abort();
      return;
    }
    if (signal === "SIGINT" && ++this.#interrupts >= 2) {
      this.#kill("interrupted again");
      return;
    }
    this.#send(constants.signals[signal]);
    if (signal === "SIGINT")
      this.#after(HINT_MS, () => this.#say("the command still runs; Ctrl-C again kills it"));
    else this.#after(GRACE_MS, () => this.#kill(`it still runs ${GRACE_MS / 1000} seconds after ${signal}`));
  };

  #kill(why: string): void {
    this.#say(`${why}: killing the command (SIGKILL)`);
    this.#send(constants.signals.SIGKILL);
    this.#after(OUTPUT_MS, this.#gaveUp.resolve);
  }

  #send(signal: number): void {
    // A lost guest is told to whoever waits for the process; there is nothing to add here.
    this.#process?.signal(signal).catch(() => undefined);
  }

  #after(ms: number, act: () => void): void {
    this.#timers.add(setTimeout(act, ms));
  }
}
