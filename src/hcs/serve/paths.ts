import { chmod, readdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { AgentError } from "../../common/errors.ts";
import { makeDirectories } from "../../common/make-directories.ts";

/** sizeof(sockaddr_un.sun_path) less the terminating NUL; unix(7). */
const MAX_SOCKET_PATH_BYTES = 108 - 1;
/** What a keeper's socket adds: "/" + 16 characters + "/socket". */
const KEEPER_PATH_BYTES = 24;
const REMEDY = "name another with --state-directory or LCOW_STATE_DIRECTORY";

/**
 * Where the compute service keeps its state: below /run, since no system outlives the machine's own; a user who is not
 * root has a directory there, $XDG_RUNTIME_DIR.
 */
export function defaultStateDirectory(): string {
  const { LCOW_STATE_DIRECTORY, XDG_RUNTIME_DIR } = process.env;
  if (LCOW_STATE_DIRECTORY) return LCOW_STATE_DIRECTORY;
  const isOwn = process.geteuid?.() !== 0 && XDG_RUNTIME_DIR?.startsWith("/") === true;
  return isOwn ? join(XDG_RUNTIME_DIR, "lcow") : "/run/lcow";
}

/** The service's own socket. @throws AgentError INVALID_ARGUMENT for a directory of too long a name */
export function serviceSocket(stateDirectory: string): string {
  checkLength(stateDirectory);
  return join(stateDirectory, "socket");
}

/** Held by the service that runs, with its process id in it. */
export function lockFile(stateDirectory: string): string {
  return join(stateDirectory, "pid");
}

/** A directory for each keeper. */
export function keepersDirectory(stateDirectory: string): string {
  return join(stateDirectory, "k");
}

export function keeperSocket(directory: string): string {
  return join(directory, "socket");
}

/**
 * Makes it, and closes it to others.
 * @throws AgentError INVALID_ARGUMENT when it is somebody else's or has other files, or its sockets' names would be too
 *   long; SYSTEM_CALL_FAILED
 */
export async function prepareStateDirectory(stateDirectory: string): Promise<void> {
  checkLength(stateDirectory);
  try {
    makeDirectories(stateDirectory, 0o700);
    const { uid, mode } = await stat(stateDirectory);
    if (uid !== process.geteuid?.()) throw refusal(`${stateDirectory} belongs to user ${uid}`);
    if ((mode & 0o077) !== 0) await closeToOthers(stateDirectory);
    makeDirectories(keepersDirectory(stateDirectory), 0o700);
  } catch (cause) {
    if (cause instanceof AgentError) throw cause;
    throw new AgentError(
      "SYSTEM_CALL_FAILED",
      `state directory ${stateDirectory} cannot be made; ${REMEDY}`,
      { cause },
    );
  }
}

/** Not a directory that others use, /tmp say: they could do so no more. */
async function closeToOthers(stateDirectory: string): Promise<void> {
  const own = [serviceSocket, lockFile, keepersDirectory].map((make) => basename(make(stateDirectory)));
  const other = (await readdir(stateDirectory)).find((name) => !own.includes(name));
  if (other !== undefined) throw refusal(`${stateDirectory} has other files in it: ${other}`);
  await chmod(stateDirectory, 0o700);
}

function checkLength(stateDirectory: string): void {
  if (Buffer.byteLength(stateDirectory) + KEEPER_PATH_BYTES + 2 <= MAX_SOCKET_PATH_BYTES) return;
  throw refusal(`${stateDirectory} has too long a name for sockets`);
}

function refusal(what: string): AgentError {
  return new AgentError("INVALID_ARGUMENT", `state directory ${what}; ${REMEDY}`);
}
