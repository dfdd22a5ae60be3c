/** The manual page lcow(1), made of the tables that help is made of; groff_man(7), man-pages(7). */
import { version } from "../common/version.ts";
import { formatNames, type OptionDescription } from "./arguments.ts";
import { usageOf, type Verb } from "./verb.ts";
import { ABOUT, EXAMPLES, GLOBAL_OPTIONS, type VerbEntry, verbs } from "./verbs.ts";

/** What all verbs look at; a single one's are in its own text. */
const VARIABLES: readonly (readonly [name: string, about: string])[] = [
  ["LCOW_STATE_DIRECTORY", "where `lcow serve` keeps its state, and the other commands find it"],
  ["LCOW_IMAGE", "the directory of the image that machines boot"],
  ["LCOW_CACHE_SIZE", "how much the cache may take, such as 20g (default 8 GiB)"],
  ["LCOW_DEBUG", "when it is not empty, errors tell where they came from, as with --debug"],
  ["XDG_CACHE_HOME", "the cache is in lcow-gcs there (default ~/.cache)"],
  ["XDG_RUNTIME_DIR", "without LCOW_STATE_DIRECTORY, the state of users other than root is in lcow there"],
  ["TMPDIR", "for files of one command, where /run cannot be written to (default /tmp)"],
];

const STATUSES: readonly (readonly [status: string, about: string])[] = [
  ["0", "it was done"],
  [
    "1",
    "of several systems some failed; or output was lost; or, of `lcow doctor`, `lcow run` would not work",
  ],
  ["2", "the command line was not understood"],
  ["125", "it was not done, or how a command ended is unknown"],
  ["126", "a command cannot be executed"],
  ["127", "a command was not found"],
  ["128+N", "signal N ended a command; other statuses are the command's own, where there is one"],
];

/** @returns roff, the same for the same sources */
export async function renderManual(): Promise<string> {
  const loaded = await Promise.all(verbs.map(async (entry) => ({ entry, verb: (await entry.load()).verb })));
  return [
    `.\\" Made of the tables of src/cli by scripts/man.ts.\n`,
    `.TH LCOW 1 "" ${quoted(`lcow ${version}`)} "User Commands"\n`,
    ".SH NAME\n",
    `lcow \\- ${inline(ABOUT)}\n`,
    ".SH SYNOPSIS\n",
    ...[`.B lcow\n.RI [ OPTIONS ]\n.I COMMAND\n`, ".RI [ ARGUMENT ...]\n"],
    ".SH COMMANDS\n",
    ...verbs.map((entry) => tagged(bold(namesOf(entry)), entry.summary)),
    ".SH OPTIONS\n",
    ...GLOBAL_OPTIONS.map(renderOption),
    ...loaded.flatMap(({ entry, verb }) => renderVerb(entry, verb)),
    ".SH EXIT STATUS\n",
    ...STATUSES.map(([status, about]) => tagged(bold(status), about)),
    ".SH ENVIRONMENT\n",
    ...VARIABLES.map(([name, about]) => tagged(bold(name), about)),
    ".SH EXAMPLES\n",
    ...preformatted(EXAMPLES.map(([line, about]) => `${line.padEnd(48)}${about}`)),
  ].join("");
}

function namesOf({ name, aliases = [] }: VerbEntry): string {
  return [name, ...aliases].join(", ");
}

function renderVerb(entry: VerbEntry, verb: Verb): string[] {
  const usage = usageOf(entry.name, verb).replace(/^Usage: /, "");
  const { aliases = [] } = entry;
  const also = aliases.length === 0 ? [] : [`.PP\nAlso called ${aliases.map(bold).join(", ")}.\n`];
  return [
    `.SH ${quoted(`lcow ${entry.name}`.toUpperCase())}\n`,
    `.B ${quoted(usage)}\n`,
    ...also,
    ".PP\n",
    ...paragraphs(verb.about),
    ...verb.options.map(renderOption),
    ...(verb.notes === undefined ? [] : [".PP\n", ...paragraphs(verb.notes)]),
  ];
}

/** With its names, its value, and what it does. */
export function renderOption(option: OptionDescription): string {
  const names = formatNames(option).map((name) => bold(name));
  const value = option.value === undefined ? "" : ` \\fI${escaped(option.value)}\\fR`;
  return tagged(`${names.join(", ")}${value}`, option.help.replaceAll(/\s+/g, " "));
}

/** A line that begins with a blank stays as it is, as in the help. */
function paragraphs(text: string): string[] {
  const made: string[] = [];
  let kept: string[] = [];
  const flush = () => {
    if (kept.length > 0) made.push(...preformatted(kept));
    kept = [];
  };
  for (const line of text.trim().split("\n")) {
    if (line.startsWith(" ")) {
      kept.push(line.replace(/^ {2}/, ""));
      continue;
    }
    flush();
    made.push(line.trim() === "" ? ".PP\n" : `${inline(line)}\n`);
  }
  flush();
  // Of two in a row one is enough, and a heading or the text's end needs none.
  return made.filter((part, index) => part !== ".PP\n" || (made[index + 1] ?? ".PP\n") !== ".PP\n");
}

function preformatted(lines: readonly string[]): string[] {
  return [".RS 4\n.nf\n", ...lines.map((line) => `${atStart(escaped(line))}\n`), ".fi\n.RE\n"];
}

function tagged(tag: string, text: string): string {
  return `.TP\n${tag}\n${inline(text)}\n`;
}

function bold(text: string): string {
  return `\\fB${escaped(text)}\\fR`;
}

/** Text in which `this` is bold, and no line is taken for a request. */
function inline(text: string): string {
  const parts = text.trim().split(/`([^`]+)`/);
  return atStart(parts.map((part, index) => (index % 2 === 1 ? bold(part) : escaped(part))).join(""));
}

function atStart(line: string): string {
  return /^[.']/.test(line) ? `\\&${line}` : line;
}

/** An argument of a macro. */
function quoted(text: string): string {
  return `"${escaped(text)}"`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\\": "\\e",
  "-": "\\-",
  "'": "\\(aq",
  '"': "\\(dq",
  "`": "\\(ga",
  "^": "\\(ha",
  "~": "\\(ti",
};

/** What roff takes for something else, or prints as something else; the page is ASCII. */
function escaped(text: string): string {
  return text.replaceAll(/[-\\'"`^~]|[^\x20-\x7e]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return ESCAPES[character] ?? `\\[u${code.toString(16).toUpperCase().padStart(4, "0")}]`;
  });
}
