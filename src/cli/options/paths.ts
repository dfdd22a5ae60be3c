/** Readers of paths that have to be right before anything is made. Absolute, since the service works elsewhere. */
import { accessSync, constants, type Stats, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { UsageError } from "../arguments.ts";
import { readNotEmpty } from "../values.ts";

/** A directory that is there. @throws UsageError */
export function readDirectory(text: string, what: string): string {
  const path = resolve(text);
  if (text !== "" && statusOf(path, what)?.isDirectory() === true) return path;
  throw new UsageError(`${what}: there is no such directory`);
}

/** A regular file that can be read: to open a FIFO is to wait for who writes to it. @throws UsageError */
export function readFile(text: string, what: string): string {
  const path = resolve(readNotEmpty(text, what));
  const status = statusOf(path, what);
  if (status === undefined) throw new UsageError(`${what}: there is no such file`);
  if (!status.isFile()) throw new UsageError(`${what} is no regular file`);
  checkAccess(path, constants.R_OK, `${what} cannot be read`);
  return path;
}

/** A file that is there or can be made. @throws UsageError */
export function readOutputFile(text: string, what: string): string {
  const path = resolve(readNotEmpty(text, what));
  const status = statusOf(path, what);
  if (status?.isDirectory() === true) throw new UsageError(`${what} is a directory; name a file`);
  checkAccess(status === undefined ? dirname(path) : path, constants.W_OK, `${what} cannot be written`);
  return path;
}

/** @returns undefined where nothing is. @throws UsageError for what cannot be found out, links in a circle say */
function statusOf(path: string, what: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (cause) {
    throw new UsageError(`${what} cannot be used: ${messageOf(cause)}`);
  }
}

function checkAccess(path: string, mode: number, complaint: string): void {
  try {
    accessSync(path, mode);
  } catch (cause) {
    throw new UsageError(`${complaint}: ${messageOf(cause)}`);
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
