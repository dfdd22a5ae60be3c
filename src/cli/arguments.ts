/** A command line that cannot be understood; the exit status is USAGE_ERROR. */
export class UsageError extends Error {
  /** The verb whose help tells more. */
  verb: string | undefined;
}

/** What a shell can offer for a word: names that are known, or files. */
export type Completion =
  | readonly string[]
  | "file"
  | "directory"
  | "system"
  | "signal"
  | "variable"
  | "command";

export interface OptionDescription<Value = unknown> {
  /** Long name without dashes. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** Other long names, not shown. */
  readonly aliases?: readonly string[];
  /** What the value is called in the help; absent for a switch. */
  readonly value?: string;
  /** May be given more than once. */
  readonly multiple?: boolean;
  /**
   * Makes the value of its text; absent, any text will do.
   * @param what for messages: "--memory 64x"
   * @throws UsageError
   */
  readonly read?: (text: string, what: string) => Value;
  readonly completes?: Completion;
  readonly help: string;
}

export interface ParsedArguments {
  /** Whether a switch is on, or an option was given. */
  has(name: string): boolean;
  /** The last text given. */
  value(name: string): string | undefined;
  values(name: string): readonly string[];
  /** What the row's reader has made of the last text given. */
  read<Value>(option: OptionDescription<Value>): Value | undefined;
  /** The same of all that were given, in their order. */
  readAll<Value>(option: OptionDescription<Value>): readonly Value[];
  readonly operands: readonly string[];
  /** How many operands stand behind "--"; undefined without one. */
  readonly behindDashes: number | undefined;
}

export interface ParseRules {
  /**
   * Options may stand among the operands, too. Not where a command is among them: the first word that is no option
   * ends them there, so that a command's own options stay its own.
   */
  readonly interspersed?: boolean;
}

/**
 * `-it`, `-eA=B`, `-e A=B`, `-e=A=B`, `--env=A=B`, `--env A=B` and, of a switch, `--tty=false` and `-t=false` are understood; "--"
 * ends the options. Every value is read at once.
 * @throws UsageError naming the option and, for a slip of the pen, the one that was meant.
 */
export function parseArguments(
  table: readonly OptionDescription[],
  words: readonly string[],
  { interspersed = false }: ParseRules = {},
): ParsedArguments {
  const found = new Map<string, { text: string; value: unknown }[]>();
  const operands: string[] = [];
  let behindDashes: number | undefined;
  let at = 0;

  const take = (option: OptionDescription, shown: string, attached: string | undefined): void => {
    const given = found.get(option.name) ?? [];
    if (option.value === undefined) {
      if (attached === undefined || attached === "true") found.set(option.name, [{ text: "", value: true }]);
      else if (attached === "false") found.delete(option.name);
      else throw new UsageError(`${shown} takes no value`);
      return;
    }
    if (given.length > 0 && option.multiple !== true) throw new UsageError(`${shown} is given twice`);
    const text = attached ?? words[++at];
    if (text === undefined) throw new UsageError(`${shown} needs a value: ${option.value}`);
    const value = option.read === undefined ? text : option.read(text, `--${option.name} ${quote(text)}`);
    found.set(option.name, [...given, { text, value }]);
  };

  const takeShort = (letters: string): void => {
    for (let index = 0; index < letters.length; index++) {
      const letter = letters.charAt(index);
      const option = table.find((candidate) => candidate.short === letter);
      if (option === undefined) throw unknownOption(table, `-${letter}`);
      const rest = letters.slice(index + 1);
      if (option.value === undefined) {
        // Of letters together it is the last one's.
        const isGiven = rest.startsWith("=");
        take(option, `-${letter}`, isGiven ? rest.slice(1) : undefined);
        if (isGiven) return;
        continue;
      }
      take(option, `-${letter}`, rest === "" ? undefined : rest.replace(/^=/, ""));
      return;
    }
  };

  for (; at < words.length; at++) {
    const word = words[at] ?? "";
    if (word === "--") {
      behindDashes = words.length - at - 1;
      at++;
      break;
    }
    if (!word.startsWith("-") || word === "-") {
      if (!interspersed) break;
      operands.push(word);
    } else if (word.startsWith("--")) {
      const [, name = "", value] = /^--([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
      const option = findOption(table, name);
      if (option === undefined) throw unknownOption(table, `--${name}`);
      take(option, `--${name}`, value);
    } else takeShort(word.slice(1));
  }

  const given = (name: string) => found.get(name) ?? [];
  return {
    has: (name) => found.has(name),
    value: (name) => given(name).at(-1)?.text,
    values: (name) => given(name).map(({ text }) => text),
    read: <Value>({ name }: OptionDescription<Value>) => given(name).at(-1)?.value as Value | undefined,
    readAll: <Value>({ name }: OptionDescription<Value>) => given(name).map(({ value }) => value as Value),
    operands: [...operands, ...words.slice(at)],
    behindDashes,
  };
}

/** By its long name, or another of its long names. */
export function findOption(table: readonly OptionDescription[], name: string): OptionDescription | undefined {
  return table.find((option) => option.name === name || option.aliases?.includes(name));
}

const QUOTED_LENGTH = 64;

/** A text as messages show it: as it is, or where it could be misread or do harm, shortened and escaped. */
export function quote(text: string): string {
  if (/^[!-~]+$/.test(text) && text.length <= QUOTED_LENGTH) return text;
  const shortened = text.length > QUOTED_LENGTH ? `${text.slice(0, QUOTED_LENGTH)}...` : text;
  return JSON.stringify(shortened).replace(
    /[^ -~]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** The options as lines of a help text. */
export function formatOptions(table: readonly OptionDescription[]): string {
  const lines = table.map((option) => {
    const short = option.short === undefined ? "    " : `-${option.short}, `;
    const value = option.value === undefined ? "" : ` ${option.value}`;
    return { names: `  ${short}--${option.name}${value}`, help: option.help };
  });
  const width = Math.max(...lines.map((line) => line.names.length)) + 2;
  return lines
    .map((line) => line.names.padEnd(width) + line.help.replaceAll("\n", `\n${" ".repeat(width)}`))
    .join("\n");
}

/** "-e", "--env" */
export function formatNames({ short, name }: OptionDescription): string[] {
  return [...(short === undefined ? [] : [`-${short}`]), `--${name}`];
}

function unknownOption(table: readonly OptionDescription[], shown: string): UsageError {
  const names = table.flatMap((option) => [
    `--${option.name}`,
    ...(option.short === undefined ? [] : [`-${option.short}`]),
  ]);
  const near = nearest(shown, names);
  return new UsageError(
    `unknown option ${quote(shown)}${near === undefined ? "" : `; did you mean ${near}?`}`,
  );
}

/** The candidate with the fewest edits, when they are few enough to be a slip. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  // A third of the word wrong is a slip; more is another word. A single letter has no near ones.
  let bestDistance = Math.floor(word.replace(/^-+/, "").length / 3) + 1;
  if (word.replace(/^-+/, "").length < 2) return undefined;
  for (const candidate of candidates) {
    const distance = countEdits(word, candidate);
    if (distance <= bestDistance && (best === undefined || distance < bestDistance)) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best ?? candidates.find((candidate) => candidate.startsWith(word));
}

/** Levenshtein's distance. */
function countEdits(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const substituted = (previous[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1);
      const changed = Math.min((previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1);
      current.push(Math.min(substituted, changed));
    }
    previous = current;
  }
  return previous[to.length] ?? 0;
}
