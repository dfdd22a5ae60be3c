import { randomBytes } from "node:crypto";
import { isatty } from "node:tty";
import { describeError } from "../../errors.ts";
import { makeDefaultSpec } from "../../hcs/default-spec.ts";
import type { GuestProcess } from "../../hcs/guest-process.ts";
import type { UtilityVm } from "../../hcs/utility-vm.ts";
import { BootProgress } from "../boot-progress.ts";
import { causeOf } from "../cause.ts";
import { tell } from "../failure.ts";
import { say } from "../output.ts";
import { START_FAILED } from "./exit-status.ts";
import { copyOutput, openInput } from "./output.ts";
import { type SessionOptions, startUtilityVm } from "./session.ts";
import { SignalForwarder } from "./signals.ts";
import { followWindowSize, makeRaw, type WindowSize, windowSize } from "./terminal.ts";

export interface RunOptions extends SessionOptions {
  readonly command: readonly string[];
  readonly interactive: boolean;
  readonly terminal: boolean;
  /** NAME=VALUE */
  readonly environment: readonly string[];
  readonly workingDirectory: string | undefined;
  readonly user: string | undefined;
  /** Bytes. */
  readonly memoryLimit: number | undefined;
  readonly root: string | undefined;
  /** Tell how long each stage of the boot took. */
  readonly times: boolean;
}

/** @returns the exit status. */
export async function run(options: RunOptions): Promise<number> {
  const signals = new SignalForwarder(say);
  const progress = new BootProgress({ times: options.times });
  const started = performance.now();
  let uvm: UtilityVm | undefined;
  try {
    uvm = await startUtilityVm(options, progress, signals.aborted);
    return await runContainer(uvm, options, signals, () =>
      progress.reached("container", performance.now() - started),
    );
  } catch (error) {
    if (signals.abortStatus !== undefined) return signals.abortStatus;
    const told = uvm === undefined ? error : await causeOf(error, uvm);
    return tell(told);
  } finally {
    signals.stop();
    // The command's status counts, whatever became of cleaning up.
    await uvm?.close().catch((error: unknown) => say(describeError(error)));
  }
}

async function runContainer(
  uvm: UtilityVm,
  options: RunOptions,
  signals: SignalForwarder,
  onStarted: () => void,
): Promise<number> {
  const { guest } = uvm;
  const signal = signals.aborted;
  const name = randomBytes(6).toString("hex");
  const id = `lcow-${name}`;
  const root = await uvm.prepareRoot(options.root);
  const size = options.terminal ? windowSize() : undefined;
  const spec = makeDefaultSpec({
    args: options.command,
    rootPath: root.path,
    rootReadonly: root.readonly,
    temporaryDirectories: root.temporaryDirectories,
    terminal: options.terminal,
    environment: options.environment,
    hostname: name,
    cgroupNamespace: uvm.hasUnifiedCgroups,
    ...(uvm.maximumOpenFiles !== undefined && { maximumOpenFiles: uvm.maximumOpenFiles }),
    ...(size !== undefined && { consoleSize: { height: size.rows, width: size.columns } }),
    ...(options.workingDirectory !== undefined && { workingDirectory: options.workingDirectory }),
    ...(options.user !== undefined && { user: options.user }),
    ...(options.memoryLimit !== undefined && { memoryLimit: options.memoryLimit }),
  });
  const container = await guest.createContainer(id, { bundlePath: uvm.bundlePath(id), spec, signal });
  await container.start({ signal });
  const takesInput = options.interactive || (options.terminal && isatty(0));
  const init = await container.createProcess({
    terminal: options.terminal,
    stdin: takesInput,
    stdout: true,
    stderr: !options.terminal,
    signal,
  });
  if (options.times) onStarted();
  signals.forwardTo(init);
  const detach = attachTerminal(init, options.terminal && takesInput, options.terminal, size);
  try {
    let lost: NodeJS.ErrnoException | undefined;
    const output = copyAll(init, (cause) => {
      lost = cause;
      signals.readerGone();
    });
    if (takesInput) copyInput(init);
    const status = await init.wait();
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
  stdin.once("close", () => source.destroy());
  source.pipe(stdin);
}

/** @returns undoes it all. */
function attachTerminal(
  init: GuestProcess,
  ownsInput: boolean,
  hasTerminal: boolean,
  initialSize: WindowSize | undefined,
): () => void {
  if (!hasTerminal) return () => undefined;
  const restore = ownsInput && isatty(0) ? makeRaw() : undefined;
  // The process may end at any moment, and a window that could not be resized is no reason to end it.
  const resize = ({ rows, columns }: WindowSize) => void init.resize(rows, columns).catch(() => undefined);
  const unfollow = followWindowSize(resize);
  const size = windowSize();
  if (size !== undefined && (size.rows !== initialSize?.rows || size.columns !== initialSize.columns))
    resize(size);
  return () => {
    unfollow();
    restore?.();
  };
}
