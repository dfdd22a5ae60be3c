import { formatOptions, type OptionDescription, parseArguments, UsageError } from "../arguments.ts";
import { print } from "../output.ts";
import type { RunOptions } from "./run.ts";
import { readSize, readVmOptions, VM_OPTIONS } from "./vm-options.ts";

const LOG_LEVELS = ["trace", "debug", "info", "warning", "error", "fatal"];

const OPTIONS: readonly OptionDescription[] = [
  {
    name: "local",
    help: "without a virtual machine: containers on this machine, through an\nagent of this command alone; needs root",
  },
  { name: "interactive", short: "i", help: "connect standard input; without it the command's is empty" },
  {
    name: "tty",
    short: "t",
    help: "give the command a terminal; connects standard input too when that is\na terminal, which is in raw mode meanwhile",
  },
  {
    name: "env",
    short: "e",
    value: "NAME=VALUE",
    multiple: true,
    help: "set a variable; NAME alone takes the value it has here",
  },
  { name: "workdir", short: "w", value: "DIR", help: "working directory in the container (default /)" },
  {
    name: "user",
    short: "u",
    value: "USER",
    help: "UID[:GID] or NAME[:GROUP] of the root's /etc/passwd and /etc/group\n(default root)",
  },
  {
    name: "group-add",
    value: "GROUP",
    multiple: true,
    help: "a further group, by name or number, beside those that list the user",
  },
  {
    name: "memory",
    short: "m",
    value: "SIZE",
    help: "of the virtual machine, in MiB (default 512); with --local, the container's\nlimit in bytes; suffixes k, m, g",
  },
  {
    name: "root",
    value: "DIR",
    help: "root file system; with --local the container writes to it, in a virtual\nmachine to a disk of its own; the default is a small busybox one,\nread-only, with /tmp, /run, /root, /var and /home in memory",
  },
  { name: "oci-runtime", value: "NAME", help: "runc, crun, or the path of one like them (default runc)" },
  {
    name: "loglevel",
    value: "LEVEL",
    help: `show the agent's log on standard error: ${LOG_LEVELS.slice(0, 3).join(", ")},\n${LOG_LEVELS.slice(3).join(", ")}`,
  },
  ...VM_OPTIONS,
  { name: "times", help: "tell on standard error how long each stage of the boot took" },
  { name: "help", short: "h", help: "show this help" },
];

const HELP = `Usage: lcow run [--local] [OPTIONS] [--] COMMAND [ARGUMENT...]

Boots a virtual machine, runs a command in a new container in it, with this command's standard output and error,
and powers the machine off. With --local there is no machine: the container is removed.

Options:
${formatOptions(OPTIONS)}

Signals are passed on to the command, real-time ones too; but not those of job control (SIGTSTP, SIGTTIN, SIGTTOU),
of a fault (SIGSEGV and the like), and SIGPIPE, SIGURG, SIGCHLD; SIGWINCH is the size of a terminal. The command is
process 1 of its container, which the kernel does not end by a signal it has no handler for. So a second SIGINT
(Ctrl-C) kills it, and so does SIGTERM, SIGHUP or SIGQUIT when it still runs 10 seconds later. What asks for the end
before the command runs ends the start. A terminal in raw mode sends keys, not signals.

Exit status: the command's, 128+N when signal N ended it; and
  2    the command line was not understood
  125  the container was not started, the machine or the agent was lost, or the output could not be written
  126  COMMAND cannot be executed
  127  COMMAND was not found

Examples:
  lcow run -- /bin/uname -a
  lcow run --memory 1g --root /srv/root -it -- /bin/bash
  lcow run --local -- /bin/echo hello
  lcow run --local -it -- /bin/sh
  head -c 1M /dev/urandom | lcow run --local -i -- /bin/sha256sum
  lcow run --local --memory 64m -e NAME=value -w /tmp -u nobody -- /bin/sh -c 'id; pwd; echo $NAME'
`;

export async function main(words: readonly string[]): Promise<number> {
  const options = readOptions(words);
  if (options === "help") {
    await print(HELP);
    return 0;
  }
  const { run } = await import("./run.ts");
  return await run(options);
}

function readOptions(words: readonly string[]): RunOptions | "help" {
  const found = parseArguments(OPTIONS, words);
  if (found.has("help")) return "help";
  if (found.operands.length === 0) throw new UsageError("run needs a COMMAND; see: lcow run --help");
  if (found.operands[0] === "") throw new UsageError("the COMMAND is empty");
  const logLevel = found.value("loglevel");
  if (logLevel !== undefined && !LOG_LEVELS.includes(logLevel)) {
    throw new UsageError(`--loglevel ${logLevel} is none of ${LOG_LEVELS.join(", ")}`);
  }
  const workingDirectory = found.value("workdir");
  if (workingDirectory !== undefined && !workingDirectory.startsWith("/")) {
    throw new UsageError(`--workdir ${workingDirectory} does not start with /`);
  }
  const local = found.has("local");
  const text = found.value("memory");
  const memory = text === undefined ? undefined : readSize("--memory", text, local ? 1 : 1024 * 1024);
  const machine = readVmOptions(found, local ? undefined : memory);
  for (const { name } of local ? VM_OPTIONS : []) {
    if (found.has(name)) throw new UsageError(`--${name} is about the virtual machine; --local has none`);
  }
  return {
    local,
    ...machine,
    times: found.has("times"),
    command: found.operands,
    interactive: found.has("interactive"),
    terminal: found.has("tty"),
    environment: found
      .values("env")
      .map(readVariable)
      .filter((entry) => entry !== undefined),
    workingDirectory,
    user: found.value("user"),
    additionalGroups: found.values("group-add"),
    memoryLimit: local ? memory : undefined,
    root: found.value("root"),
    ociRuntime: found.value("oci-runtime"),
    logLevel,
  };
}

/** @returns undefined for a variable that is not set here either. */
function readVariable(text: string): string | undefined {
  const [name = ""] = text.split("=", 1);
  if (name === "") throw new UsageError(`--env ${text}: expected NAME=VALUE`);
  if (text.includes("=")) return text;
  const value = process.env[name];
  return value === undefined ? undefined : `${name}=${value}`;
}
