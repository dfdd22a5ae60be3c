/** `lcow boot`: a utility VM with a shell in it, outside any container. */
import { isatty } from "node:tty";
import { describeError } from "../errors.ts";
import type { UtilityVm } from "../hcs/utility-vm.ts";
import { formatOptions, type OptionDescription, parseArguments, UsageError } from "./arguments.ts";
import { BootProgress } from "./boot-progress.ts";
import { causeOf } from "./cause.ts";
import { print, say } from "./output.ts";
import { waitAttached } from "./run/attached.ts";
import { startUtilityVm } from "./run/session.ts";
import { SignalForwarder } from "./run/signals.ts";
import { windowSize } from "./run/terminal.ts";
import { readSize, readVmOptions, VM_OPTIONS } from "./run/vm-options.ts";

const OPTIONS: readonly OptionDescription[] = [
  { name: "memory", short: "m", value: "SIZE", help: "in MiB (default 512); suffixes k, m, g" },
  ...VM_OPTIONS,
  { name: "loglevel", value: "LEVEL", help: "show the agent's log on standard error" },
  { name: "help", short: "h", help: "show this help" },
];

const HELP = `Usage: lcow boot [OPTIONS] [--] [COMMAND [ARGUMENT...]]

Boots the image's virtual machine, with the agent in it, and runs a command in it (default /bin/sh), outside any
container, with a terminal when standard input is one. When the command ends the machine is powered off; the exit
status is the command's.

Options:
${formatOptions(OPTIONS)}
`;

export async function main(words: readonly string[]): Promise<number> {
  const found = parseArguments(OPTIONS, words);
  if (found.has("help")) {
    await print(HELP);
    return 0;
  }
  if (found.operands[0] === "") throw new UsageError("the COMMAND is empty");
  const memory = found.value("memory");
  const signals = new SignalForwarder(say);
  let uvm: UtilityVm | undefined;
  try {
    uvm = await startUtilityVm(
      {
        local: false,
        ociRuntime: undefined,
        logLevel: found.value("loglevel"),
        ...readVmOptions(found, memory === undefined ? undefined : readSize("--memory", memory, 1024 * 1024)),
      },
      new BootProgress({ times: true }),
      signals.aborted,
    );
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
    return await waitAttached(shell, { signals, takesInput: true, terminal, size });
  } catch (error) {
    if (signals.abortStatus !== undefined) return signals.abortStatus;
    throw uvm === undefined ? error : await causeOf(error, uvm);
  } finally {
    signals.stop();
    // The command's status counts, whatever became of cleaning up.
    await uvm?.close().catch((error: unknown) => say(describeError(error)));
  }
}
