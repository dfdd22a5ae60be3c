import { spawnSync } from "node:child_process";
import { isatty, WriteStream } from "node:tty";
import { AgentError } from "../../common/errors.ts";

export interface WindowSize {
  readonly rows: number;
  readonly columns: number;
}

const STTY_TIMEOUT_MS = 5_000;
/** Where a terminal may be found, best first: its size is that of the window the output goes to. */
const DESCRIPTORS = [1, 2, 0];

/** The size of the caller's terminal, if there is one on any standard stream. */
export function windowSize(): WindowSize | undefined {
  const fd = DESCRIPTORS.find((candidate) => isatty(candidate));
  if (fd === undefined) return undefined;
  const stream = new WriteStream(fd);
  const [columns, rows] = stream.getWindowSize();
  stream.destroy();
  return rows > 0 && columns > 0 ? { rows, columns } : undefined;
}

/** @returns stops following. */
export function followWindowSize(onSize: (size: WindowSize) => void): () => void {
  const listener = () => {
    const size = windowSize();
    if (size !== undefined) onSize(size);
  };
  process.on("SIGWINCH", listener);
  return () => process.off("SIGWINCH", listener);
}

/**
 * Refuses at once what would wait for ever: a command on a terminal knows the end of its input by a key (Ctrl-D) alone,
 * which a pipe or a file does not press.
 * @throws AgentError NOT_A_TERMINAL
 */
export function checkInputDevice(interactive: boolean, terminal: boolean): void {
  if (!interactive || !terminal || isatty(0)) return;
  throw new AgentError(
    "NOT_A_TERMINAL",
    "the input device is not a TTY: -it needs a terminal on standard input; use -i without -t for a pipe or a file",
  );
}

/**
 * Puts the terminal on standard input into raw mode: every byte passes as it is, both ways. (Node's own raw mode
 * goes on translating newlines in the output.)
 * @returns restores it; done at the exit of this process at the latest. Safe more than once.
 * @throws AgentError HELPER_FAILED
 */
export function makeRaw(): () => void {
  const saved = stty("-g").trim();
  stty("raw", "-echo");
  let isRaw = true;
  const restore = () => {
    if (!isRaw) return;
    isRaw = false;
    process.off("exit", restore);
    stty(saved);
  };
  process.on("exit", restore);
  return restore;
}

function stty(...args: string[]): string {
  const { error, status, stdout, stderr } = spawnSync("stty", args, {
    stdio: [0, "pipe", "pipe"],
    encoding: "utf8",
    timeout: STTY_TIMEOUT_MS,
  });
  if (status === 0) return stdout;
  throw new AgentError(
    "HELPER_FAILED",
    `stty ${args.join(" ")} failed: ${stderr?.trim() || "no reason given"}`,
    {
      cause: error,
    },
  );
}
