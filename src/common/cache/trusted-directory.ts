/** Whether a directory can be changed by nobody but this user and root: what is found there is used unread. */
import { closeSync, constants, fchmodSync, lstatSync, openSync, readlinkSync, type Stats } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { AgentError } from "../errors.ts";
import { makeDirectories } from "../make-directories.ts";
import { isSystemError } from "../system-error.ts";

const OTHERS_WRITE = 0o002;
const GROUP_WRITES = 0o020;
const STICKY = 0o1000;
/** As the kernel's own bound, path_resolution(7). */
const MAXIMUM_LINKS = 40;

/**
 * Makes a directory, with its parents, that is this user's alone: mode 0700, no link. One of ours that others may
 * only read is closed to them.
 * @param remedy what to do about one that cannot be used, for the error's end
 * @throws AgentError INVALID_ARGUMENT naming the directory, its owner and the remedy; SYSTEM_CALL_FAILED
 */
export function makePrivate(directory: string, remedy: string): void {
  checkParents(dirname(resolve(directory)), remedy);
  make(directory, remedy);
  // Again, as some may have been made just now, by others too.
  checkParents(dirname(resolve(directory)), remedy);
  checkOwn(directory, remedy);
  if ((lstatSync(directory).mode & 0o077) !== 0) closeToOthers(directory);
}

/** Whether makePrivate() would refuse what is there, or on the way there; makes and changes nothing. @throws as it */
export function checkPrivate(directory: string, remedy: string): void {
  checkParents(dirname(resolve(directory)), remedy);
  if (lstatSync(directory, { throwIfNoEntry: false }) !== undefined) checkOwn(directory, remedy);
}

/** As makePrivate(), for a directory that somebody else chose and may let others read. */
export function makeOwn(directory: string, remedy: string): void {
  make(directory, remedy);
  checkParents(dirname(resolve(directory)), remedy);
  checkOwn(directory, remedy);
}

function make(directory: string, remedy: string): void {
  try {
    makeDirectories(directory, 0o700);
  } catch (cause) {
    // What else can be there is told by checkOwn().
    if (!isSystemError(cause, "EEXIST")) throw cannotMake(directory, remedy, cause);
  }
}

function checkOwn(directory: string, remedy: string): void {
  const status = lstatSync(directory);
  const { uid } = status;
  if (status.isSymbolicLink()) {
    throw refusal(`${directory} is a link of ${describeOwner(uid)}, and has to be a directory`, remedy);
  }
  if (!status.isDirectory()) throw refusal(`${directory} is no directory`, remedy);
  if (uid !== process.geteuid?.()) throw refusal(`${directory} belongs to ${describeOwner(uid)}`, remedy);
  if (canOthersWrite(status, { stickyHelps: false })) {
    throw refusal(
      `${directory} of ${describeOwner(uid)} can be written to by others`,
      `remove it, or ${remedy}`,
    );
  }
}

/** Every directory and link on the way: who can replace one of them can replace all below. */
function checkParents(path: string, remedy: string): void {
  let links = 0;
  const visit = (at: string): void => {
    if (at !== "/") visit(dirname(at));
    const status = lstatSync(at, { throwIfNoEntry: false });
    // Made later, by us, in a directory where others cannot.
    if (status === undefined) return;
    const { uid } = status;
    if (uid !== 0 && uid !== process.geteuid?.()) {
      throw refusal(
        `${at}, on the way to it, belongs to ${describeOwner(uid)}, who could replace it`,
        remedy,
      );
    }
    if (status.isSymbolicLink()) {
      if (++links > MAXIMUM_LINKS) throw refusal(`${at}, on the way to it, is one of too many links`, remedy);
      const target = readlinkSync(at);
      visit(isAbsolute(target) ? resolve(target) : join(dirname(at), target));
    } else if (canOthersWrite(status, { stickyHelps: true })) {
      throw refusal(`${at}, on the way to it, can be written to by others, who could replace it`, remedy);
    }
  };
  visit(path);
}

function canOthersWrite({ mode, uid, gid }: Stats, { stickyHelps }: { stickyHelps: boolean }): boolean {
  if (stickyHelps && (mode & STICKY) !== 0) return false;
  if ((mode & OTHERS_WRITE) !== 0) return true;
  // Debian gives each user a group of the same number, with nobody else in it, and some a umask to go with it.
  const isUsersOwnGroup = gid === uid && gid === process.getegid?.();
  return (mode & GROUP_WRITES) !== 0 && !isUsersOwnGroup;
}

function closeToOthers(directory: string): void {
  const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    fchmodSync(descriptor, 0o700);
  } finally {
    closeSync(descriptor);
  }
}

function refusal(what: string, remedy: string): AgentError {
  return new AgentError("INVALID_ARGUMENT", `the cache is not safe: ${what}; ${remedy}`);
}

function cannotMake(directory: string, remedy: string, cause: unknown): AgentError {
  return new AgentError("SYSTEM_CALL_FAILED", `cannot make the directory ${directory}; ${remedy}`, { cause });
}

function describeOwner(uid: number): string {
  return uid === 0 ? "root" : `user ${uid}`;
}
