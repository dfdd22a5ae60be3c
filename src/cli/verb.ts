import {
  type Completion,
  formatOptions,
  type OptionDescription,
  type ParsedArguments,
  parseArguments,
  quote,
  UsageError,
} from "./arguments.ts";
import { print } from "./output.ts";

export interface OperandDescription {
  /** "NAME" */
  readonly name: string;
  readonly optional?: boolean;
  /** It, and those behind it, may be given several times. */
  readonly repeated?: boolean;
  /** Checks it. @throws UsageError */
  readonly read?: (text: string, what: string) => unknown;
  readonly completes?: Completion;
}

/** What is behind a command's name is its own: no option, no operand of ours. */
export const COMMAND: OperandDescription = { name: "COMMAND", completes: "command" };
export const OPTIONAL_COMMAND: OperandDescription = { ...COMMAND, optional: true };

/** All that is known of a verb: its help, its completion and its checks are made of it. */
export interface Verb {
  readonly operands: readonly OperandDescription[];
  /** Where options change what is expected. */
  readonly operandsFor?: (found: ParsedArguments) => readonly OperandDescription[];
  /** Sentences. */
  readonly about: string;
  readonly options: readonly OptionDescription[];
  /** Further paragraphs of the help. */
  readonly notes?: string;
  /** @returns the exit status @throws UsageError */
  run(found: ParsedArguments): Promise<number>;
}

export const HELP_OPTION: OptionDescription = { name: "help", short: "h", help: "show this help" };

export function hasCommand(operands: readonly OperandDescription[]): boolean {
  return operands.at(-1)?.completes === "command";
}

export function optionsOf(verb: Verb): readonly OptionDescription[] {
  return [...verb.options, HELP_OPTION];
}

/** "Usage: lcow stop [OPTIONS] NAME..." */
export function usageOf(name: string, verb: Verb): string {
  const operands = verb.operands.map((operand) => {
    const isCommand = operand.completes === "command";
    const shown = isCommand
      ? "COMMAND [ARGUMENT...]"
      : `${operand.name}${operand.repeated === true ? "..." : ""}`;
    return `${isCommand ? "[--] " : ""}${operand.optional === true ? `[${shown}]` : shown}`;
  });
  return ["Usage: lcow", name, "[OPTIONS]", ...operands].join(" ");
}

const WIDTH = 112;

/** Breaks paragraphs into lines; one that is indented stays as it is. */
function wrap(text: string): string {
  const paragraphs = text.split("\n\n").map((paragraph) => {
    if (paragraph.startsWith(" ")) return paragraph;
    const lines = [""];
    for (const word of paragraph.split(/\s+/)) {
      const line = lines.at(-1) ?? "";
      if (line === "") lines[lines.length - 1] = word;
      else if (line.length + word.length < WIDTH) lines[lines.length - 1] = `${line} ${word}`;
      else lines.push(word);
    }
    return lines.join("\n");
  });
  return paragraphs.join("\n\n");
}

export function helpOf(name: string, verb: Verb): string {
  const notes = verb.notes === undefined ? "" : `\n${verb.notes.trim()}\n`;
  return `${usageOf(name, verb)}\n\n${wrap(verb.about.trim())}\n\nOptions:\n${formatOptions(optionsOf(verb))}\n${notes}`;
}

/**
 * Understands a verb's words, checks all that can be checked without doing anything, and does it.
 * @returns the exit status
 * @throws UsageError
 */
export async function runVerb(name: string, verb: Verb, words: readonly string[]): Promise<number> {
  const found = parseArguments(optionsOf(verb), words, { interspersed: !hasCommand(verb.operands) });
  if (found.has("help")) {
    await print(helpOf(name, verb));
    return 0;
  }
  const described = verb.operandsFor?.(found) ?? verb.operands;
  const operands = checkOperands(name, described, found);
  return await verb.run({ ...found, operands });
}

/** @returns them, without the dashes of `exec NAME -- COMMAND` */
function checkOperands(
  name: string,
  described: readonly OperandDescription[],
  found: ParsedArguments,
): readonly string[] {
  const names = hasCommand(described) ? described.length - 1 : described.length;
  const hasDashes = hasCommand(described) && names > 0 && found.operands[names] === "--";
  const operands = hasDashes ? found.operands.toSpliced(names, 1) : found.operands;
  const missing = described[operands.length];
  if (missing !== undefined && missing.optional !== true) {
    throw new UsageError(`${name} needs a${/^[AEIO]/.test(missing.name) ? "n" : ""} ${missing.name}`);
  }
  const surplus = operands[described.length];
  if (surplus !== undefined && !hasCommand(described) && described.at(-1)?.repeated !== true) {
    throw new UsageError(`${name}: unexpected ${quote(surplus)}`);
  }
  operands.forEach((text, index) => {
    const { read, name: shown } = described[Math.min(index, described.length - 1)] ?? {};
    read?.(text, `${shown} ${quote(text)}`);
  });
  const command = operands[names];
  if (!hasCommand(described) || command === undefined) return operands;
  if (command === "") throw new UsageError("the COMMAND is empty");
  if (command.startsWith("-") && !hasDashes && found.behindDashes === undefined) {
    const behind = described[names - 1]?.name;
    throw new UsageError(
      `${quote(command)} behind ${behind} is no option: they go before it; for a COMMAND of that name, put -- before it`,
    );
  }
  return operands;
}
