/**
 * The one reader for what the agent reads of a container's root file system. Whoever made the image, or runs in the
 * container, decides what is there: a link out of the root, a FIFO, a device, a gigabyte, a file system that hangs.
 */

import { constants } from "node:fs";
import { type RootFile, readInRoot } from "../../native/hvsock/root-file.ts";
import { settlesWithin } from "../common/deadline.ts";
import { AgentError } from "../common/errors.ts";
import { isSystemError } from "../common/system-error.ts";

export const MAXIMUM_FILE_SIZE = 1024 * 1024;
/** Bytes of a file that the runtime is left to read: of short lines it takes milliseconds, and crun holds a line whole. */
const MAXIMUM_RUNTIMES_FILE_SIZE = 16 * 1024 * 1024;
/** Milliseconds. A file of a mebibyte takes a few, from a slow disk some hundred. */
const DEADLINE_MS = 5_000;
/** Reads under way, each on a thread: a root that hangs holds so many, and the others go on. */
const MAXIMUM_READS_OF_ROOT = 4;
const MAXIMUM_READS = 64;

export type { RootFile };

/**
 * The lines of a text file, without blanks around them. Each character is a byte (`latin1`): compare with
 * `asBytes(text)`.
 *
 * @param root absolute path of the root file system. @param path in it.
 * @returns undefined when there is no such file.
 * @throws AgentError INVALID_DATA naming the file: no regular file, larger than 1 MiB, links in a circle;
 *   SYSTEM_CALL_FAILED when it cannot be read, or not within 5 s.
 */
export async function readLinesInRoot(root: string, path: string): Promise<string[] | undefined> {
  const file = await read(root, path, MAXIMUM_FILE_SIZE + 1);
  if (file === undefined) return undefined;
  checkKind(path, file);
  const size = Math.max(file.size, file.bytes.length);
  if (size > MAXIMUM_FILE_SIZE) {
    const shown = size > file.bytes.length ? String(size) : `more than ${MAXIMUM_FILE_SIZE}`;
    throw tooLarge(path, shown, ": give user and group as numbers");
  }
  return file.bytes
    .toString("latin1")
    .split("\n")
    .map((line) => line.trim());
}

/**
 * For files that the runtime opens by itself, and would wait for, or read without end.
 * @throws AgentError INVALID_DATA for what is there and no regular file, or larger than 16 MiB; SYSTEM_CALL_FAILED after 5 s.
 */
export async function checkRuntimesFile(root: string, path: string): Promise<void> {
  let file: RootFile | undefined;
  try {
    file = await read(root, path, 0);
  } catch (error) {
    // What the kernel refuses to us it refuses to the runtime, whose word it is then.
    if (error instanceof AgentError && isSystemError(error.cause)) return;
    throw error;
  }
  if (file === undefined) return;
  checkKind(path, file);
  if (file.size <= MAXIMUM_RUNTIMES_FILE_SIZE) return;
  throw tooLarge(path, String(file.size), `, and at most ${MAXIMUM_RUNTIMES_FILE_SIZE} by the runtime`);
}

/**
 * The beginning of a regular file, or what kind of file it is.
 * @param maximum bytes; 0 only looks whether it is there.
 * @returns "absent", or "unknown" where the kernel refuses to look.
 * @throws AgentError SYSTEM_CALL_FAILED when there is no answer within 5 s.
 */
export async function readHeadInRoot(
  root: string,
  path: string,
  maximum: number,
): Promise<RootFile | "absent" | "unknown"> {
  try {
    return (await read(root, path, maximum)) ?? "absent";
  } catch (error) {
    if (error instanceof AgentError && isSystemError(error.cause)) return "unknown";
    throw error;
  }
}

/**
 * What is at a path of the root, behind its links.
 * @returns such as "a directory"; undefined where nothing is, and where the kernel refuses to look.
 * @throws AgentError SYSTEM_CALL_FAILED when there is no answer within 5 s.
 */
export async function kindInRoot(root: string, path: string): Promise<string | undefined> {
  try {
    const file = await read(root, path, 0);
    return file === undefined ? undefined : (specialKind(file) ?? "a regular file");
  } catch (error) {
    if (error instanceof AgentError && isSystemError(error.cause, "ELOOP")) return "a link in a circle";
    if (error instanceof AgentError && isSystemError(error.cause)) return undefined;
    throw error;
  }
}

/** @returns such as "a FIFO"; undefined for a regular file. */
export function specialKind({ mode }: RootFile): string | undefined {
  const kind = mode & constants.S_IFMT;
  return kind === constants.S_IFREG ? undefined : (kinds.get(kind) ?? "something else");
}

/** UTF-8 bytes, each a character. */
export function asBytes(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

const underWay = new Map<string, number>();
let allUnderWay = 0;
const waiting = new Set<() => void>();

async function read(root: string, path: string, maximum: number): Promise<RootFile | undefined> {
  const started = performance.now();
  const left = () => Math.max(0, DEADLINE_MS - (performance.now() - started));
  while ((underWay.get(root) ?? 0) >= MAXIMUM_READS_OF_ROOT || allUnderWay >= MAXIMUM_READS) {
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.add(resolve);
    const isFree = await settlesWithin(promise, left());
    waiting.delete(resolve);
    if (!isFree) throw noAnswer(path);
  }
  const reading = begin(root, path, maximum);
  try {
    if (await settlesWithin(reading, left())) return await reading;
  } catch (cause) {
    const isCircle = isSystemError(cause, "ELOOP");
    throw new AgentError(
      isCircle ? "INVALID_DATA" : "SYSTEM_CALL_FAILED",
      isCircle ? `the container's ${path} is a link in a circle` : `cannot read the container's ${path}`,
      { cause },
    );
  }
  reading.catch(() => {});
  throw noAnswer(path);
}

async function begin(root: string, path: string, maximum: number): Promise<RootFile | undefined> {
  underWay.set(root, (underWay.get(root) ?? 0) + 1);
  allUnderWay++;
  try {
    // Also where no thread can be made for it, which it throws at once.
    return await readInRoot(root, path, maximum);
  } finally {
    const left = (underWay.get(root) ?? 1) - 1;
    if (left === 0) underWay.delete(root);
    else underWay.set(root, left);
    allUnderWay--;
    for (const wake of waiting) wake();
  }
}

function noAnswer(path: string): AgentError {
  return new AgentError(
    "SYSTEM_CALL_FAILED",
    `reading the container's ${path} took more than ${DEADLINE_MS} ms: its file system does not answer`,
  );
}

function tooLarge(path: string, bytes: string, more: string): AgentError {
  return new AgentError(
    "INVALID_DATA",
    `the container's ${path} has ${bytes} bytes; at most ${MAXIMUM_FILE_SIZE} are read${more}`,
  );
}

const kinds = new Map([
  [constants.S_IFDIR, "a directory"],
  [constants.S_IFIFO, "a FIFO"],
  [constants.S_IFCHR, "a character device"],
  [constants.S_IFBLK, "a block device"],
  [constants.S_IFSOCK, "a socket"],
]);

function checkKind(path: string, file: RootFile): void {
  const is = specialKind(file);
  if (is === undefined) return;
  throw new AgentError(
    "INVALID_DATA",
    `the container's ${path} is ${is}, not a regular file; replace it in the image`,
  );
}
