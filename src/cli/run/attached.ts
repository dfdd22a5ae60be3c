import { isatty } from "node:tty";
import type { GuestProcess } from "../../hcs/guest/guest-process.ts";
import { say } from "../output.ts";
import { START_FAILED } from "./exit-status.ts";
import { copyOutput, openInput } from "./output.ts";
import type { SignalForwarder } from "./signals.ts";
import { followWindowSize, makeRaw, type WindowSize, windowSize } from "./terminal.ts";

export interface Attached {
  readonly signals: SignalForwarder;
  /** Our standard input is the command's. */
  readonly takesInput: boolean;
  /** The command has a terminal, */
  readonly terminal: boolean;
  /** of this size so far. */
  readonly size: WindowSize | undefined;
}

/**
 * Connects this command's streams, terminal and signals to a process, and waits for its end.
 * @returns the exit status
 */
export async function waitAttached(process: GuestProcess, attached: Attached): Promise<number> {
  const { signals, takesInput, terminal } = attached;
  signals.forwardTo(process);
  const detach = terminal ? attachTerminal(process, attached) : () => undefined;
  try {
    let lost: NodeJS.ErrnoException | undefined;
    const output = copyAll(process, (cause) => {
      lost = cause;
      signals.readerGone();
    });
    if (takesInput) copyInput(process);
    const status = await process.wait();
    signals.exited();
    await Promise.race([output, signals.gaveUp]);
    if (lost === undefined || lost.code === "EPIPE") return status;
    say(`standard output could not be written: ${lost.message}`);
    return status === 0 ? START_FAILED : status;
  } finally {
    detach();
  }
}

function copyAll(
  { stdout, stderr }: GuestProcess,
  onLost: (cause: NodeJS.ErrnoException) => void,
): Promise<unknown> {
  return Promise.all([
    stdout && copyOutput(stdout, 1, onLost),
    // A program that nobody hears complain goes on.
    stderr && copyOutput(stderr, 2, () => undefined),
  ]);
}

function copyInput({ stdin }: GuestProcess): void {
  if (stdin === undefined) return;
  const source = openInput();
  // Either end may go away at any time: then there is nothing left to copy, which is no error of the run.
  source.on("error", () => stdin.end());
  stdin.on("error", () => undefined);
  stdin.once("close", () => source.destroy());
  source.pipe(stdin);
}

/** @returns undoes it all. */
function attachTerminal(process: GuestProcess, { takesInput, size: initial }: Attached): () => void {
  const restore = takesInput && isatty(0) ? makeRaw() : undefined;
  // The process may end at any moment, and a window that could not be resized is no reason to end it.
  const resize = ({ rows, columns }: WindowSize) => void process.resize(rows, columns).catch(() => undefined);
  const unfollow = followWindowSize(resize);
  const size = windowSize();
  if (size !== undefined && (size.rows !== initial?.rows || size.columns !== initial.columns)) resize(size);
  return () => {
    unfollow();
    restore?.();
  };
}
