/**
 * Text of a stranger (a guest, a container, a helper), made fit to be shown: on a terminal it commands nothing, in a log
 * it forges no line, and it has a bound. A leaf that every room may import.
 */

/** Characters. */
const DEFAULT_LENGTH = 4096;
/** What switches colours and moves the cursor; a log without it says the same. */
const TERMINAL_SEQUENCES = /\u001b\[[0-?]*[ -/]*[@-~]/g;
/**
 * Controls (C0, DEL, C1), what turns the direction of writing or cannot be seen (format characters, line and paragraph
 * separators, what Unicode lets a font ignore, such as Hangul fillers and variation selectors, and the empty Braille
 * pattern), half surrogate pairs, and what stands for no character.
 */
const UNFIT = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}\p{Default_Ignorable_Code_Point}\u2800]/gu;
const NAMES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** In one line: line ends are marked, too. @param length the most characters of `text` to keep */
export function printable(text: string, length = DEFAULT_LENGTH): string {
  return shorten(text, length).replaceAll(UNFIT, mark);
}

/** Text of several lines keeps them, and its tabs; terminal sequences for colours are left out. */
export function printableLines(text: string, length = Number.POSITIVE_INFINITY): string {
  return shorten(text, length)
    .replaceAll(TERMINAL_SEQUENCES, "")
    .replaceAll("\r\n", "\n")
    .replaceAll(UNFIT, (character) =>
      character === "\n" || character === "\t" ? character : mark(character),
    );
}

/** `\x1b`, `\u{202e}` */
function mark(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const digits = code.toString(16);
  return NAMES[character] ?? (code < 0x100 ? `\\x${digits.padStart(2, "0")}` : `\\u{${digits}}`);
}

function shorten(text: string, length: number): string {
  return text.length > length
    ? `${text.slice(0, length)}... (${text.length - length} more characters)`
    : text;
}

/** JSON that stays the same value: what is unfit stands as the escape that JSON has for it. */
export function printableJson(json: string): string {
  return json.replaceAll(UNFIT, (character) =>
    character === "\n" ? character : character.split("").map(escapeUnit).join(""),
  );
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
