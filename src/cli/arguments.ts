/** A command line that cannot be understood; the exit status is USAGE_ERROR. */
export class UsageError extends Error {}

export interface OptionDescription {
  /** Long name without dashes. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** What the value is called in the help; absent for a switch. */
  readonly value?: string;
  /** May be given more than once. */
  readonly multiple?: boolean;
  readonly help: string;
}

export interface ParsedArguments {
  has(name: string): boolean;
  /** The last value given. */
  value(name: string): string | undefined;
  values(name: string): readonly string[];
  /** Everything from the first operand on, or behind "--". */
  readonly operands: readonly string[];
}

/**
 * Options first, then operands: the first word that is no option ends them, as does "--", so that a command's
 * own options stay its own. `-it`, `-eA=B`, `-e A=B`, `--env=A=B` and `--env A=B` are understood.
 * @throws UsageError naming the option and, for a slip of the pen, the one that was meant.
 */
export function parseArguments(
  table: readonly OptionDescription[],
  words: readonly string[],
): ParsedArguments {
  const found = new Map<string, string[]>();
  let at = 0;

  const take = (option: OptionDescription, shown: string, attached: string | undefined): void => {
    const values = found.get(option.name) ?? [];
    found.set(option.name, values);
    if (option.value === undefined) {
      if (attached !== undefined) throw new UsageError(`${shown} takes no value`);
      values.push("");
      return;
    }
    if (values.length > 0 && option.multiple !== true) throw new UsageError(`${shown} is given twice`);
    const value = attached ?? words[++at];
    if (value === undefined) throw new UsageError(`${shown} needs a value: ${option.value}`);
    values.push(value);
  };

  const takeShort = (letters: string): void => {
    for (let index = 0; index < letters.length; index++) {
      const letter = letters.charAt(index);
      const option = table.find((candidate) => candidate.short === letter);
      if (option === undefined) throw unknownOption(table, `-${letter}`);
      const rest = letters.slice(index + 1);
      if (option.value === undefined) {
        take(option, `-${letter}`, undefined);
        continue;
      }
      take(option, `-${letter}`, rest === "" ? undefined : rest);
      return;
    }
  };

  for (; at < words.length; at++) {
    const word = words[at] ?? "";
    if (word === "--") {
      at++;
      break;
    }
    if (!word.startsWith("-") || word === "-") break;
    if (!word.startsWith("--")) {
      takeShort(word.slice(1));
      continue;
    }
    const [, name = "", value] = /^--([^=]*)(?:=(.*))?$/s.exec(word) ?? [];
    const option = table.find((candidate) => candidate.name === name);
    if (option === undefined) throw unknownOption(table, `--${name}`);
    take(option, `--${name}`, value);
  }

  const values = (name: string) => found.get(name) ?? [];
  return {
    has: (name) => found.has(name),
    value: (name) => values(name).at(-1),
    values,
    operands: words.slice(at),
  };
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

function unknownOption(table: readonly OptionDescription[], shown: string): UsageError {
  const names = table.flatMap((option) => [
    `--${option.name}`,
    ...(option.short === undefined ? [] : [`-${option.short}`]),
  ]);
  const near = nearest(shown, names);
  return new UsageError(`unknown option ${shown}${near === undefined ? "" : `; did you mean ${near}?`}`);
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
