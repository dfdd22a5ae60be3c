/**
 * The `lcow` command. Every subcommand is loaded when it is asked for: starting up takes most of the time of a
 * short container.
 */
import { formatOptions, quote, UsageError } from "./arguments.ts";
import { errorsPrinted, print } from "./output.ts";
import { checkArguments } from "./raw-bytes.ts";
import { USAGE_ERROR } from "./run/exit-status.ts";
import { ABOUT, dispatch, EXAMPLES, findVerb, GLOBAL_OPTIONS, verbs } from "./verbs.ts";

async function main(words: readonly string[]): Promise<number> {
  const [name = "--help", ...rest] = words;
  if (name === "--debug") {
    (await import("./failure.ts")).enableDebugging();
    return await main(rest);
  }
  if (name === "help" && rest.length > 0) {
    const [verb = "", surplus] = rest;
    if (["help", "--help", "-h"].includes(verb)) return await main(rest);
    if (surplus !== undefined) throw new UsageError(`help: unexpected ${quote(surplus)}`);
    return await dispatch(findVerb(verb).name, ["--help"]);
  }
  if (name === "--help" || name === "-h" || name === "help") {
    await print(help());
    // Asking for help is no error; saying nothing is.
    return words.length === 0 ? USAGE_ERROR : 0;
  }
  if (name === "--version" || name === "-V") {
    const { version } = await import("../common/version.ts");
    await print(`lcow ${version}\n`);
    return 0;
  }
  if (name === "__complete") return await (await import("./completion/print.ts")).printCandidates(rest);
  return await dispatch(name, rest);
}

function help(): string {
  const lines = verbs.map(({ name, aliases = [], summary }) => {
    return `  ${[name, ...aliases].join(", ").padEnd(18)}${summary}`;
  });
  const examples = EXAMPLES.map(([line, about]) => `  ${line.padEnd(48)}${about}`);
  return `lcow: ${ABOUT}.

Usage: lcow COMMAND [OPTIONS]

Commands:
${lines.join("\n")}

Options:
${formatOptions(GLOBAL_OPTIONS)}

Examples:
${examples.join("\n")}
`;
}

try {
  const words = process.argv.slice(2);
  checkArguments(words);
  process.exitCode = await main(words);
} catch (error) {
  const { tell } = await import("./failure.ts");
  process.exitCode = tell(error);
}
await errorsPrinted();
// What is still open now, standard input say, must not keep the command alive.
process.exit();
