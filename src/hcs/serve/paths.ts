import { chmod, lstat, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { AgentError } from "../../common/errors.ts";

/** sizeof(sockaddr_un.sun_path) less the terminating NUL; unix(7). */
const MAX_SOCKET_PATH_BYTES = 108 - 1;
/** What a keeper's socket adds: "/" + 16 characters + "/socket". */
const KEEPER_PATH_BYTES = 24;

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

/** The service's own socket. */
export function serviceSocket(stateDirectory: string): string {
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

/** @throws AgentError INVALID_ARGUMENT when it is somebody else's, or its sockets' names would be too long */
export async function prepareStateDirectory(stateDirectory: string): Promise<void> {
  if (Buffer.byteLength(stateDirectory) + KEEPER_PATH_BYTES + 2 > MAX_SOCKET_PATH_BYTES) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `state directory ${stateDirectory} has too long a name for sockets`,
    );
  }
  await mkdir(keepersDirectory(stateDirectory), { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    throw new AgentError(
      "SYSTEM_CALL_FAILED",
      `state directory ${stateDirectory} cannot be made; name another with --state-directory or LCOW_STATE_DIRECTORY`,
      { cause },
    );
  });
  const { uid } = await lstat(stateDirectory);
  if (uid !== process.geteuid?.()) {
    throw new AgentError(
      "INVALID_ARGUMENT",
      `state directory ${stateDirectory} belongs to user ${uid}; name another with --state-directory or LCOW_STATE_DIRECTORY`,
    );
  }
  await chmod(stateDirectory, 0o700);
}
