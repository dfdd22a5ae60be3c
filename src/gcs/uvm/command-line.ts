/**
 * A command line split into arguments by the quoting rules of a POSIX shell, and nothing else of a shell: no
 * variables, no globs, no operators. `#` at the start of a word begins a comment, as in the reference agent's
 * splitter (github.com/google/shlex).
 *
 * @throws AgentError INVALID_ARGUMENT for a quote that is not closed.
 */
import { AgentError } from "../../common/errors.ts";

export function splitCommandLine(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let at = 0;
  const quoted = (quote: string): string => {
    const start = ++at;
    let text = "";
    for (; at < line.length; at++) {
      const character = line[at];
      if (character === quote) {
        at++;
        return text;
      }
      if (character === "\\" && quote === '"' && /["\\$`\n]/.test(line[at + 1] ?? "")) at++;
      text += line[at];
    }
    throw new AgentError("INVALID_ARGUMENT", `CommandLine: the ${quote} at character ${start} is not closed`);
  };
  while (at < line.length) {
    const character = line[at] ?? "";
    if (character === "'" || character === '"') word = (word ?? "") + quoted(character);
    else if (/\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
      at++;
    } else if (character === "#" && word === undefined) {
      const end = line.indexOf("\n", at);
      at = end === -1 ? line.length : end;
    } else if (character === "\\") {
      if (at + 1 >= line.length) throw new AgentError("INVALID_ARGUMENT", "CommandLine ends in a backslash");
      word = (word ?? "") + line[at + 1];
      at += 2;
    } else {
      word = (word ?? "") + character;
      at++;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}
