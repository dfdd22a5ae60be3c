import { constants } from "node:os";
import { onSignal, realTimeSignals } from "../../../native/hvsock/signal.ts";

/** These ask a command to end. */
const ENDING = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
/**
 * These mean what a command takes them for. With the real-time ones they are all that would end this process, but for
 * its own faults (SIGSEGV, SIGSYS and their like) and what cannot be caught. Not passed on, since they are about this
 * process and its terminal: SIGTSTP, SIGTTIN, SIGTTOU (job control), SIGWINCH (a new size), SIGPIPE, SIGXFSZ (its
 * output), SIGCHLD and SIGURG.
 */
const OTHERS = [
  ...["SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT", "SIGABRT", "SIGSTKFLT"],
  ...["SIGXCPU", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR"],
] as NodeJS.Signals[];
/** How long a command may take to end on SIGTERM, SIGHUP or SIGQUIT; what `docker stop` gives. */
const GRACE_MS = 10_000;
/** After that much silence the user of Ctrl-C is told what else there is. */
const HINT_MS = 1_000;
/** How long a command may go on when nobody reads its output any more. */
const PIPE_GRACE_MS = 500;
/** How long after SIGKILL the output may still find a reader. */
const OUTPUT_MS = 3_000;

/** Where signals go: a process in a guest, or one that the service keeps. */
export interface SignalTarget {
  /** May reject: whoever waits for the process learns how it ended. */
  signal(number: number): Promise<unknown>;
}

/**
 * Our signals become the command's. Before there is a command, those that ask for the end abort the start, and the
 * others wait for it.
 *
 * A container's init is not ended by a signal it has no handler for; pid_namespaces(7). So a signal that asks for
 * the end is followed by SIGKILL: at the second Ctrl-C, or after a grace period.
 *
 * A guest may answer to none of that. Where the command's machine is ours, forceWith() says how to end it without asking
 * the guest: that follows when the command outlives SIGKILL, and at any further signal while cleaning up.
 *
 * One for a whole verb: make it first, forwardTo() once there is a command, stop() when it has ended.
 */
export class SignalForwarder {
  readonly #abort = new AbortController();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #gaveUp = Promise.withResolvers<void>();
  readonly #say: (text: string) => void;
  /** Came too early. As in the kernel, each is pending once. */
  readonly #pending = new Set<number>();
  #target: SignalTarget | undefined;
  #isStopped = false;
  #interrupts = 0;
  /** The first that asked for the end of the command. */
  #asked: number | undefined;
  #received: number | undefined;
  #force: (() => void) | undefined;
  #hasExited = false;

  /** @param say tells the user something. */
  constructor(say: (text: string) => void) {
    this.#say = say;
    for (const name of ENDING) process.on(name, () => this.#onEnding(name));
    // Not by name: Node has none for the real-time ones, and keeps SIGUSR1 blocked.
    for (const number of [...OTHERS.map((name) => constants.signals[name]), ...realTimeSignals()])
      onSignal(number, () => this.#onOther(number));
  }

  /** Fires when a signal asks for the end before forwardTo(). */
  get aborted(): AbortSignal {
    return this.#abort.signal;
  }

  /** Settles some time after the command was killed: output that nobody takes by then is not waited for. */
  get gaveUp(): Promise<void> {
    return this.#gaveUp.promise;
  }

  /** 128+N for the signal that aborted the start, or ended a machine whose guest did not answer. */
  get abortStatus(): number | undefined {
    return this.#received === undefined ? undefined : 128 + this.#received;
  }

  forwardTo(target: SignalTarget): void {
    this.#target = target;
    for (const number of this.#pending) this.#send(number);
    this.#pending.clear();
  }

  /** @param force ends the command's machine, or agent, whatever its guest does */
  forceWith(force: () => void): void {
    this.#force = force;
  }

  /** The command itself has ended; its output may still be on its way. */
  exited(): void {
    this.#hasExited = true;
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
    this.#isStopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#target = undefined;
    this.#abort.abort();
  }

  #onEnding(name: (typeof ENDING)[number]): void {
    const number = constants.signals[name];
    if (this.#isStopped || (this.#target === undefined && this.#received !== undefined)) {
      this.#force?.();
      return;
    }
    if (this.#target === undefined) {
      this.#received = number;
      this.#abort.abort();
      // A guest that does not answer keeps the start from being given up.
      this.#after(HINT_MS, () => this.#force && this.#say("giving up the start; once more ends it at once"));
      this.#after(GRACE_MS, () => this.#force?.());
      return;
    }
    this.#asked ??= number;
    if (name === "SIGINT" && ++this.#interrupts >= 2) {
      this.#kill("interrupted again");
      return;
    }
    this.#send(number);
    if (name === "SIGINT")
      this.#after(HINT_MS, () => this.#say("the command still runs; Ctrl-C again kills it"));
    else this.#after(GRACE_MS, () => this.#kill(`it still runs ${GRACE_MS / 1000} seconds after ${name}`));
  }

  #onOther(number: number): void {
    if (this.#target === undefined) this.#pending.add(number);
    else this.#send(number);
  }

  #kill(why: string): void {
    this.#say(`${why}: killing the command (SIGKILL)`);
    this.#send(constants.signals.SIGKILL);
    this.#after(OUTPUT_MS, () => {
      this.#gaveUp.resolve();
      if (!this.#hasExited) this.#endMachine();
    });
  }

  #endMachine(): void {
    if (this.#force === undefined) return;
    this.#say("the command outlives SIGKILL, as a guest does that does not answer: ending what it runs in");
    this.#received = this.#asked;
    this.#force();
  }

  #send(signal: number): void {
    // A lost guest is told to whoever waits for the process; there is nothing to add here.
    this.#target?.signal(signal).catch(() => undefined);
  }

  #after(ms: number, act: () => void): void {
    this.#timers.add(setTimeout(act, ms));
  }
}
