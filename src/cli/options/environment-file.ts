import { quote, UsageError } from "../arguments.ts";
import { readVariable } from "../values.ts";
import { readText } from "./text-file.ts";

/** More than the kernel passes on to a program: a quarter of the usual stack of 8 MiB; execve(2). */
const LARGEST_FILE = 2 * 1024 * 1024;
/** MAX_ARG_STRLEN less its end: the longest variable that execve(2) takes. */
const LONGEST_LINE = 128 * 1024 - 1;

/**
 * Variables of a file in Docker's format: NAME=VALUE a line, the value as it is to the line's end, without quotes or
 * escapes; NAME alone for the value it has here; blank lines and those that begin with # are left out. A byte order
 * mark and carriage returns at the ends of lines are no part of it.
 * @returns NAME=VALUE
 * @throws UsageError naming the file and the line
 */
export function readEnvironmentFile(path: string, what: string): readonly string[] {
  const text = readText(path, { what, largest: LARGEST_FILE });
  const variables: string[] = [];
  for (const [index, ended] of text.split("\n").entries()) {
    const line = ended.replace(/\r$/, "").trimStart();
    if (line === "" || line.startsWith("#")) continue;
    const place = `${what}, line ${index + 1}`;
    if (Buffer.byteLength(line) > LONGEST_LINE)
      throw new UsageError(`${place} is longer than ${LONGEST_LINE} bytes`);
    const [name = ""] = line.split("=", 1);
    if (name === "" || /\s/.test(name)) {
      throw new UsageError(`${place}: ${quote(name)} is no name; expected NAME=VALUE or NAME`);
    }
    const variable = readVariable(line, place);
    if (variable !== undefined) variables.push(variable);
  }
  return variables;
}
