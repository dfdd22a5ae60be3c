/** `lcow boot`: a utility VM with a shell in it, outside any container. */
import { isatty } from "node:tty";
import { formatOptions, type OptionDescription, parseArguments, UsageError } from "./arguments.ts";
import { BootProgress } from "./boot-progress.ts";
import { causeOf } from "./cause.ts";
import { print } from "./output.ts";
import { startUtilityVm } from "./run/session.ts";
import { followWindowSize, makeRaw, windowSize } from "./run/terminal.ts";
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
  const interrupted = new AbortController();
  const abort = () => interrupted.abort();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, abort);
  const uvm = await startUtilityVm(
    {
      local: false,
      ociRuntime: undefined,
      logLevel: found.value("loglevel"),
      ...readVmOptions(found, memory === undefined ? undefined : readSize("--memory", memory, 1024 * 1024)),
    },
    new BootProgress({ times: true }),
    interrupted.signal,
  );
  try {
    const terminal = isatty(0);
    const size = windowSize();
    const shell = await uvm.guest.createProcess({
      commandArgs: found.operands.length > 0 ? found.operands : ["/bin/sh"],
      environment: { TERM: process.env.TERM ?? "linux", HOME: "/root" },
      workingDirectory: "/",
      terminal,
      ...(terminal && size !== undefined && { consoleSize: size }),
      stdin: true,
      stdout: true,
      stderr: !terminal,
    });
    const restore = terminal ? makeRaw() : () => undefined;
    // The shell may end at any moment; a window that could not be resized is no reason to end it.
    const unfollow = followWindowSize(
      ({ rows, columns }) => void shell.resize(rows, columns).catch(() => undefined),
    );
    interrupted.signal.addEventListener("abort", () => void shell.signal(9).catch(() => undefined));
    try {
      if (shell.stdin !== undefined) {
        shell.stdin.on("error", () => undefined);
        process.stdin.pipe(shell.stdin);
      }
      shell.stdout?.pipe(process.stdout);
      shell.stderr?.pipe(process.stderr);
      return await shell.wait();
    } finally {
      unfollow();
      restore();
    }
  } catch (error) {
    throw await causeOf(error, uvm);
  } finally {
    await uvm.close();
  }
}
