/** `lcow boot`: a utility VM with a shell in it, outside any container. */
import { isatty } from "node:tty";
import { describeError } from "../common/errors.ts";
import type { UtilityVm } from "../hcs/uvm/utility-vm.ts";
import type { ParsedArguments } from "./arguments.ts";
import { causeOf } from "./cause.ts";
import {
  LOG_LEVEL,
  MACHINE_OPTIONS,
  MACHINE_SIZE_OPTIONS,
  readMachine,
  readMachineSize,
  TIMES,
} from "./options/machine.ts";
import { say } from "./output.ts";
import { Progress } from "./progress.ts";
import { waitAttached } from "./run/attached.ts";
import { startUtilityVm } from "./run/session.ts";
import { SignalForwarder } from "./run/signals.ts";
import { windowSize } from "./run/terminal.ts";
import { OPTIONAL_COMMAND, type Verb } from "./verb.ts";

export const verb: Verb = {
  operands: [OPTIONAL_COMMAND],
  about: `Boots the image's virtual machine, with the agent in it, and runs a command in it (default /bin/sh), outside any
container, with a terminal when standard input is one. When the command ends the machine is powered off; the exit
status is the command's.`,
  options: [...MACHINE_SIZE_OPTIONS, ...MACHINE_OPTIONS, LOG_LEVEL, TIMES],
  run: boot,
};

async function boot(found: ParsedArguments): Promise<number> {
  const signals = new SignalForwarder(say);
  const progress = new Progress({ times: found.has("times"), last: "starting the command" });
  let uvm: UtilityVm | undefined;
  try {
    uvm = await startUtilityVm(
      { local: false, ...readMachine(found), ...readMachineSize(found) },
      progress,
      signals.aborted,
    );
    const started = uvm;
    signals.forceWith(() => void started.close({ force: true }).catch(() => undefined));
    const terminal = isatty(0);
    const size = terminal ? windowSize() : undefined;
    const shell = await uvm.guest.createProcess({
      commandArgs: found.operands.length > 0 ? found.operands : ["/bin/sh"],
      environment: { TERM: process.env.TERM ?? "linux", HOME: "/root" },
      workingDirectory: "/",
      terminal,
      ...(size !== undefined && { consoleSize: size }),
      stdin: true,
      stdout: true,
      stderr: !terminal,
      signal: signals.aborted,
    });
    await progress.done();
    return await waitAttached(shell, { signals, takesInput: true, terminal, size });
  } catch (error) {
    await progress.done();
    if (signals.abortStatus !== undefined) return signals.abortStatus;
    throw uvm === undefined ? error : await causeOf(error, uvm);
  } finally {
    signals.stop();
    // The command's status counts, whatever became of cleaning up.
    await uvm?.close().catch((error: unknown) => say(describeError(error)));
  }
}
