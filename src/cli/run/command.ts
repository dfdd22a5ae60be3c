import type { ParsedArguments } from "../arguments.ts";
import { CONTAINER_OPTIONS, NAME, OWNER, readContainer } from "../options/container.ts";
import { TIMES } from "../options/machine.ts";
import { STATE_OPTION } from "../service/connection.ts";
import { COMMAND, type Verb } from "../verb.ts";

export const verb: Verb = {
  operands: [COMMAND],
  about: `Boots a virtual machine, runs a command in a new container in it, with this command's standard output and error,
and powers the machine off. With --local there is no machine: the container is removed.

With --detach or --name the service (\`lcow serve\`) makes and keeps the container: it is there for the other verbs,
until \`lcow rm\`, or with --rm until its command ends. --detach prints its name and does not wait.`,
  options: [
    ...CONTAINER_OPTIONS,
    { name: "detach", short: "d", help: "do not wait; print the name" },
    NAME,
    OWNER,
    TIMES,
    STATE_OPTION,
  ],
  notes: `Signals are passed on to the command, real-time ones too; but not those of job control (SIGTSTP, SIGTTIN,
SIGTTOU), of a fault (SIGSEGV and the like), and SIGPIPE, SIGURG, SIGCHLD; SIGWINCH is the size of a terminal.
The command is process 1 of its container, which the kernel does not end by a signal it has no handler for. So a
second SIGINT (Ctrl-C) kills it, and so does SIGTERM, SIGHUP or SIGQUIT when it still runs 10 seconds later.
What asks for the end before the command runs ends the start. A terminal in raw mode sends keys, not signals.

Exit status: the command's, 128+N when signal N ended it; and
  2    the command line was not understood
  125  the container was not started, the machine or the agent was lost, or the output could not be written
  126  COMMAND cannot be executed
  127  COMMAND was not found

Examples:
  lcow run -- /bin/uname -a
  lcow run --memory 1g --root /srv/root -it -- /bin/bash
  lcow run -d --name web -- /bin/sh -c 'while date; do sleep 1; done'
  lcow run --local -- /bin/echo hello
  lcow run --local -it -- /bin/sh
  head -c 1M /dev/urandom | lcow run --local -i -- /bin/sha256sum
  lcow run --local --memory 64m -e NAME=value -w /tmp -u nobody -- /bin/sh -c 'id; pwd; echo $NAME'
`,
  run: runCommand,
};

async function runCommand(found: ParsedArguments): Promise<number> {
  if (found.has("detach") || found.has(NAME.name)) {
    const { runKept } = await import("../service/run-kept.ts");
    return await runKept(found);
  }
  const { session, process: wanted, ...container } = readContainer(found, found.operands);
  const { run } = await import("./run.ts");
  return await run({ ...session, ...wanted, ...container, times: found.has("times") });
}
