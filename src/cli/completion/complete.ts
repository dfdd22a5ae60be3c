import { type Completion, findOption, type OptionDescription } from "../arguments.ts";
import { signalNames } from "../values.ts";
import { hasCommand, optionsOf, type Verb } from "../verb.ts";
import { BESIDE_VERBS, findVerb, verbWords } from "../verbs.ts";

/** What a shell is to offer. */
export interface Candidates {
  readonly words: readonly string[];
  /** What it is to look for besides, by itself. */
  readonly files: "file" | "directory" | "none";
}

const NOTHING: Candidates = { words: [], files: "none" };
const FILES: Candidates = { words: [], files: "file" };

/**
 * What may come where the last word stands.
 * @param words behind `lcow`; the last one is begun, or empty
 * @param systems the names that the service knows
 */
export async function complete(
  words: readonly string[],
  systems: () => Promise<readonly string[]>,
): Promise<Candidates> {
  const current = words.at(-1) ?? "";
  const { words: found, files } = await candidates(words, current);
  return { words: found.filter((word) => word.startsWith(current)), files };

  async function candidates([name, ...rest]: readonly string[], last: string): Promise<Candidates> {
    const names = verbWords();
    if (name === undefined || rest.length === 0) {
      return { words: [...names, ...BESIDE_VERBS], files: "none" };
    }
    if (name === "help") return rest.length === 1 ? { words: names, files: "none" } : NOTHING;
    if (!names.includes(name)) return NOTHING;
    const { verb } = await findVerb(name).load();
    const place = findPlace(verb, rest.slice(0, -1));
    if (place.value !== undefined) return await valuesOf(place.value.completes, [], "");
    const [, option, prefix = ""] = /^--([^=]+)(=)/.exec(last) ?? [];
    if (option !== undefined && !place.onlyOperands) {
      const described = findOption(optionsOf(verb), option);
      return await valuesOf(described?.completes, [], described === undefined ? "" : `--${option}${prefix}`);
    }
    if (last.startsWith("-") && !place.onlyOperands) {
      return { words: optionsOf(verb).map((row) => `--${row.name}`), files: "none" };
    }
    const operand = verb.operands[Math.min(place.operands.length, verb.operands.length - 1)];
    const isSurplus = place.operands.length >= verb.operands.length && operand?.repeated !== true;
    if (hasCommand(verb.operands) && place.operands.length >= verb.operands.length - 1) return FILES;
    return isSurplus ? NOTHING : await valuesOf(operand?.completes, place.operands, "");
  }

  async function valuesOf(
    completes: Completion | undefined,
    given: readonly string[],
    prefix: string,
  ): Promise<Candidates> {
    if (completes === undefined) return NOTHING;
    if (completes === "command" || completes === "file") return FILES;
    if (completes === "directory") return { words: [], files: "directory" };
    const known = await knownWords(completes);
    return {
      words: known.filter((word) => !given.includes(word)).map((word) => `${prefix}${word}`),
      files: "none",
    };
  }

  async function knownWords(completes: Exclude<Completion, "command" | "file" | "directory">) {
    if (typeof completes !== "string") return completes;
    if (completes === "system") return await systems();
    return completes === "signal" ? signalNames() : Object.keys(process.env);
  }
}

interface Place {
  /** The option whose value comes next. */
  readonly value: OptionDescription | undefined;
  readonly operands: readonly string[];
  /** What comes now is no option. */
  readonly onlyOperands: boolean;
}

/** Where one is behind words that need not be right: what is wrong is told when they are run. */
function findPlace(verb: Verb, words: readonly string[]): Place {
  const table = optionsOf(verb);
  const operands: string[] = [];
  let value: OptionDescription | undefined;
  let onlyOperands = false;
  for (const word of words) {
    if (value !== undefined) value = undefined;
    else if (onlyOperands || !word.startsWith("-") || word === "-") {
      operands.push(word);
      onlyOperands ||= hasCommand(verb.operands);
    } else if (word === "--") onlyOperands = true;
    else if (word.startsWith("--")) value = word.includes("=") ? undefined : takesValue(word.slice(2));
    else value = shortTakesValue(word.slice(1));
  }
  return { value, operands, onlyOperands };

  function takesValue(name: string): OptionDescription | undefined {
    const option = findOption(table, name);
    return option?.value === undefined ? undefined : option;
  }

  /** The last of letters like `-it`; with its value attached it needs none. */
  function shortTakesValue(letters: string): OptionDescription | undefined {
    for (const [index, letter] of [...letters].entries()) {
      const option = table.find((row) => row.short === letter);
      if (option?.value !== undefined) return index === letters.length - 1 ? option : undefined;
    }
    return undefined;
  }
}
