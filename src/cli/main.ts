/**
 * The `lcow` command. Every subcommand is loaded when it is asked for: starting up takes most of the time of a
 * short container.
 */
import { nearest, UsageError } from "./arguments.ts";
import { errorsPrinted, print } from "./output.ts";
import { USAGE_ERROR } from "./run/exit-status.ts";
import { serviceCommands } from "./service/commands.ts";

interface Command {
  readonly summary: string;
  load(): Promise<{ main(words: readonly string[]): Promise<number> }>;
}

const commands: Readonly<Record<string, Command>> = {
  run: { summary: "run a command in a new container", load: () => import("./run/command.ts") },
  boot: { summary: "boot a virtual machine and open a shell in it", load: () => import("./boot.ts") },
  image: { summary: "build the image that run and boot use", load: () => import("./image.ts") },
  ...serviceCommands,
};

async function main(words: readonly string[]): Promise<number> {
  const [name = "--help", ...rest] = words;
  if (name === "--debug") {
    (await import("./failure.ts")).enableDebugging();
    return await main(rest);
  }
  if (name === "--help" || name === "-h" || name === "help") {
    await print(help());
    // Asking for help is no error; saying nothing is.
    return words.length === 0 ? USAGE_ERROR : 0;
  }
  if (name === "--version" || name === "-V") {
    const { version } = await import("../gcs/version.ts");
    await print(`lcow ${version}\n`);
    return 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    const near = nearest(name, [...Object.keys(commands), "--debug", "--help", "--version"]);
    const kind = name.startsWith("-") ? "option" : "command";
    throw new UsageError(`unknown ${kind} ${name}${near === undefined ? "" : `; did you mean ${near}?`}`);
  }
  return await (await command.load()).main(rest);
}

function help(): string {
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(12)}${summary}`);
  return `lcow: Linux containers, driven through a guest compute service.

Usage: lcow COMMAND [OPTIONS]

Commands:
${lines.join("\n")}

Options:
  --debug        tell where an error came from, too; so does LCOW_DEBUG=1
  -h, --help     show this help; "lcow COMMAND --help" tells more
  -V, --version  show the version

Examples:
  lcow run -- /bin/uname -a                       in a container in a virtual machine
  lcow run --local -- /bin/sh -c 'echo hello'     in a container on this machine
`;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const { tell } = await import("./failure.ts");
  process.exitCode = tell(error);
}
await errorsPrinted();
// What is still open now, standard input say, must not keep the command alive.
process.exit();
