import { formatOptions, parseArguments, UsageError } from "../arguments.ts";
import { print } from "../output.ts";
import { HELP_OPTION, STATE_OPTION, stateDirectory } from "./connection.ts";

const OPTIONS = [STATE_OPTION, HELP_OPTION];

const HELP = `Usage: lcow serve [OPTIONS]

The compute service: systems made by \`lcow create\` and the other commands live on when these end. It listens on the
socket \`socket\` in its state directory, for its own user and root, until SIGTERM or SIGINT; the systems run on then,
and are found again when it starts anew.

Options:
${formatOptions(OPTIONS)}
`;

export async function main(words: readonly string[]): Promise<number> {
  const found = parseArguments(OPTIONS, words);
  if (found.has("help")) {
    await print(HELP);
    return 0;
  }
  if (found.operands.length > 0) throw new UsageError(`serve: unexpected ${found.operands[0]}`);
  const { Daemon } = await import("../../hcs/serve/daemon.ts");
  const daemon = await Daemon.start(stateDirectory(found));
  await print(`lcow: serving at ${daemon.socketPath}\n`);
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.once(signal, () => resolve());
  });
  await daemon.close();
  return 0;
}
