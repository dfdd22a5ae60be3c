import { randomBytes } from "node:crypto";
import { isatty } from "node:tty";
import { describeError } from "../../common/errors.ts";
import { describeSilence, Heartbeat } from "../../hcs/serve/heartbeat.ts";
import { makeDefaultSpec, type SecuritySettings } from "../../hcs/uvm/default-spec.ts";
import type { UtilityVm } from "../../hcs/uvm/utility-vm.ts";
import { causeOf } from "../cause.ts";
import { tell } from "../failure.ts";
import { say } from "../output.ts";
import { Progress } from "../progress.ts";
import { waitAttached } from "./attached.ts";
import { type SessionOptions, startUtilityVm } from "./session.ts";
import { SignalForwarder } from "./signals.ts";
import { checkInputDevice, windowSize } from "./terminal.ts";

export interface RunOptions extends SessionOptions {
  readonly command: readonly string[];
  readonly interactive: boolean;
  readonly terminal: boolean;
  /** NAME=VALUE */
  readonly environment: readonly string[];
  readonly workingDirectory: string | undefined;
  readonly user: string | undefined;
  readonly additionalGroups: readonly string[];
  readonly security: SecuritySettings;
  /** Bytes. */
  readonly memoryLimit: number | undefined;
  /** Processors. */
  readonly cpuLimit: number | undefined;
  readonly root: string | undefined;
  /** The container writes to the root directory itself. */
  readonly readWrite: boolean;
  readonly hostname: string | undefined;
  /** Tell how long each stage of the boot took. */
  readonly times: boolean;
}

/** @returns the exit status. */
export async function run(options: RunOptions): Promise<number> {
  checkInputDevice(options.interactive, options.terminal);
  const signals = new SignalForwarder(say);
  const progress = new Progress({ times: options.times });
  let uvm: UtilityVm | undefined;
  try {
    uvm = await startUtilityVm(options, progress, signals.aborted);
    const started = uvm;
    signals.forceWith(() => void started.close({ force: true }).catch(() => undefined));
    return await runContainer(uvm, options, signals, progress);
  } catch (error) {
    await progress.done();
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
  progress: Progress,
): Promise<number> {
  const { guest } = uvm;
  const signal = signals.aborted;
  const name = randomBytes(6).toString("hex");
  const id = `lcow-${name}`;
  const root = await uvm.prepareRoot(options.root, { readWrite: options.readWrite });
  const size = options.terminal ? windowSize() : undefined;
  const spec = makeDefaultSpec({
    args: options.command,
    rootPath: root.path,
    rootReadonly: root.readonly,
    temporaryDirectories: root.temporaryDirectories,
    terminal: options.terminal,
    environment: options.environment,
    hostname: options.hostname ?? name,
    cgroupNamespace: uvm.hasUnifiedCgroups,
    ...(uvm.maximumOpenFiles !== undefined && { maximumOpenFiles: uvm.maximumOpenFiles }),
    ...(size !== undefined && { consoleSize: { height: size.rows, width: size.columns } }),
    ...(options.workingDirectory !== undefined && { workingDirectory: options.workingDirectory }),
    ...(options.user !== undefined && { user: options.user }),
    additionalGroups: options.additionalGroups,
    security: options.security,
    ...(options.memoryLimit !== undefined && { memoryLimit: options.memoryLimit }),
    ...(options.cpuLimit !== undefined && { cpuLimit: options.cpuLimit }),
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
  progress.reached("container");
  await progress.done();
  const heartbeat = new Heartbeat(
    () => guest,
    (since) => say(`the guest ${since === undefined ? "answers again" : describeSilence(since)}`),
  );
  try {
    return await waitAttached(init, { signals, takesInput, terminal: options.terminal, size });
  } finally {
    heartbeat.close();
  }
}
