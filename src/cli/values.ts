/** Readers of what is typed as an option's value or an operand. Each throws UsageError that begins with `what`. */
import { availableParallelism, constants } from "node:os";
import { AgentError } from "../common/errors.ts";
import { parseSize } from "../common/size.ts";
import { checkSystemName } from "../hcs/serve/system-name.ts";
import { UsageError } from "./arguments.ts";
import { environmentVariable } from "./raw-bytes.ts";

const KIBI = 1024;
/** What a container's own runtime and agent need beside its command; Docker's bound, too. */
const LEAST_MEMORY = 6 * KIBI ** 2;
/** uid_t and gid_t less (uid_t)-1, which means "none"; chown(2). */
const LARGEST_ID = 2 ** 32 - 2;

/** A size as parseSize() has it. @returns bytes, from 1 */
export function readSize(text: string, what: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined && bytes >= 1) return bytes;
  throw new UsageError(`${what}: expected a size, such as 64m or 1.5g; without a suffix it is bytes`);
}

/** The limit of a container's memory: whole MiB, what is begun counts. @returns bytes */
export function readMemory(text: string, what: string): number {
  const bytes = readSize(text, what);
  if (bytes >= LEAST_MEMORY) return Math.ceil(bytes / KIBI ** 2) * KIBI ** 2;
  throw new UsageError(`${what}: too little, the least is 6m; a number without a suffix is bytes`);
}

/** How much of the machine's processors: decimals are shares of one. */
export function readCpus(text: string, what: string): number {
  const cpus = /^(\d{1,5}(\.\d*)?|\.\d+)$/.test(text) ? Number(text) : Number.NaN;
  if (!(cpus >= 0.01)) throw new UsageError(`${what}: expected a number, such as 2 or 0.5`);
  const most = availableParallelism();
  if (cpus <= most) return cpus;
  throw new UsageError(`${what}: this machine has ${most} processor${most === 1 ? "" : "s"}`);
}

/** A machine's processors: as many as this one has, at most. */
export function readMachineCpus(text: string, what: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new UsageError(`${what}: expected a number, such as 2`);
  return readCpus(text, what);
}

/** @returns a reader of whole numbers in decimal digits */
export function readCount(least: number, most: number, unit = "") {
  return (text: string, what: string): number => {
    const count = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (count >= least && count <= most) return count;
    const shown = unit === "" ? "a whole number" : `a whole number of ${unit}`;
    throw new UsageError(`${what}: expected ${shown}, ${least} to ${most}`);
  };
}

/** @returns a reader of one of the words */
export function readOneOf<Word extends string>(words: readonly Word[]) {
  return (text: string, what: string): Word => {
    const word = words.find((candidate) => candidate === text);
    if (word !== undefined) return word;
    throw new UsageError(`${what} is none of ${words.join(", ")}`);
  };
}

/** NAME=VALUE, or NAME for the value it has here. @returns undefined for one that is not set here either */
export function readVariable(text: string, what: string): string | undefined {
  const [name = ""] = text.split("=", 1);
  if (name === "") throw new UsageError(`${what}: expected NAME=VALUE, or the NAME of a variable`);
  if (text.includes("=")) return text;
  const value = environmentVariable(name);
  return value === undefined ? undefined : `${name}=${value}`;
}

/** An absolute path in the container. */
export function readContainerPath(text: string, what: string): string {
  if (text.startsWith("/")) return text;
  throw new UsageError(`${what} does not start with /`);
}

export function readNotEmpty(text: string, what: string): string {
  if (text.trim() !== "") return text;
  throw new UsageError(`${what}: it is empty`);
}

/** UID[:GID] or NAME[:GROUP]; what they are is looked up in the container. */
export function readUser(text: string, what: string): string {
  const parts = text.split(":");
  if (parts.length > 2 || parts[0] === "")
    throw new UsageError(`${what}: expected UID[:GID] or NAME[:GROUP]`);
  for (const part of parts) readGroup(part, what);
  return text;
}

/** A number, or a name that is looked up in the container. */
export function readGroup(text: string, what: string): string {
  if (text === "") throw new UsageError(`${what}: a name or number is empty`);
  if (/^\d+$/.test(text)) {
    if (Number(text) <= LARGEST_ID) return text;
    throw new UsageError(`${what}: the largest number is ${LARGEST_ID}`);
  }
  // What only looks like a number is no name either: the guest refuses it, whatever its files have.
  if (/^[^-\s\p{Cc}:/][^\s\p{Cc}:/]*$/u.test(text) && !/^\+?\d+(\.\d*)?$/.test(text)) return text;
  throw new UsageError(`${what}: expected names or numbers, the numbers from 0`);
}

/** What sethostname(2) and a resolver take. */
export function readHostname(text: string, what: string): string {
  if (/^(?=.{1,64}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$/.test(text) && !text.includes(".."))
    return text;
  throw new UsageError(`${what}: expected 1 to 64 letters, digits, "-", "_" and "."`);
}

export function readSystemName(text: string, what: string): string {
  try {
    checkSystemName(text);
    return text;
  } catch (error) {
    if (error instanceof AgentError) throw new UsageError(`${what}: ${error.message}`);
    throw error;
  }
}

/** Of real-time signals only the bounds have names; signal(7), as the C library counts them. */
const REALTIME = { first: 34, last: 64 };

/** TERM, SIGTERM, RTMIN+3 or a number. @returns the number */
export function readSignal(text: string, what: string): number {
  const name = text.toUpperCase().replace(/^(SIG)?/, "SIG");
  const named = (constants.signals as Readonly<Record<string, number | undefined>>)[name];
  if (named !== undefined) return named;
  const [, bound, offset = "0"] = /^SIG(RTMIN(?=$|\+)|RTMAX(?=$|-))(?:[+-](\d{1,2}))?$/.exec(name) ?? [];
  const number =
    bound === "RTMIN"
      ? REALTIME.first + Number(offset)
      : bound === "RTMAX"
        ? REALTIME.last - Number(offset)
        : Number(/^\d{1,2}$/.test(text) ? text : Number.NaN);
  const least = bound === undefined ? 1 : REALTIME.first;
  if (number >= least && number <= REALTIME.last) return number;
  throw new UsageError(`${what} is no signal; use a name such as TERM, or 1 to ${REALTIME.last}`);
}

/** For completion. */
export function signalNames(): string[] {
  return Object.keys(constants.signals).map((name) => name.replace(/^SIG/, ""));
}
