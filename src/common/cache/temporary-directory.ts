/** Directories of one process, in a place that all share; one whose process was killed is known by that. */
import {
  chmodSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AgentError } from "../errors.ts";
import { isAlive, ownIdentity } from "./process-identity.ts";

/** "lcow-gcs": an agent's; "lcow-scratch": a disk that QEMU is about to get. */
export type TemporaryKind = "lcow-gcs" | "lcow-scratch";

export interface AbandonedDirectory {
  readonly kind: TemporaryKind;
  readonly path: string;
  /** What was noted when it was made. */
  readonly note: string;
}

const OWNER_FILE = "owner";

/**
 * Makes PARENT/KIND-XXXXXX, mode 0700.
 * @param note for whoever has to clean up after this process
 * @returns its path without links
 * @throws AgentError SYSTEM_CALL_FAILED
 */
export function makeTemporaryDirectory(kind: TemporaryKind, parent = tmpdir(), note = ""): string {
  const prefix = join(parent, `${kind}-`);
  try {
    const directory = realpathSync(mkdtempSync(prefix));
    chmodSync(directory, 0o700);
    writeFileSync(join(directory, OWNER_FILE), `${ownIdentity()}\n${note}`, { flag: "wx", mode: 0o600 });
    return directory;
  } catch (cause) {
    throw new AgentError("SYSTEM_CALL_FAILED", `cannot make a directory ${prefix}XXXXXX`, { cause });
  }
}

/** Those of this user whose makers have ended without removing them, and that no other process names either. */
export function abandonedDirectories(): AbandonedDirectory[] {
  const parents: [TemporaryKind, string][] = [
    ["lcow-gcs", "/run"],
    ["lcow-gcs", tmpdir()],
    ["lcow-scratch", "/var/tmp"],
  ];
  const found = parents.flatMap(([kind, parent]) =>
    namesIn(parent)
      .filter((name) => name.startsWith(`${kind}-`))
      .flatMap((name) => lookAt(kind, join(parent, name))),
  );
  if (found.length === 0) return [];
  // An agent that is still cleaning up after its host, or a QEMU that has not noticed yet.
  const commands = namesIn("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(commandLine);
  return found.filter(({ path }) => !commands.some((command) => command.includes(path)));
}

function lookAt(kind: TemporaryKind, path: string): AbandonedDirectory[] {
  const status = lstatSync(path, { throwIfNoEntry: false });
  // Somebody else's may say anything.
  if (status?.isDirectory() !== true || status.uid !== process.geteuid?.() || (status.mode & 0o077) !== 0)
    return [];
  const [identity = "", ...note] = read(join(path, OWNER_FILE)).split("\n");
  return isAlive(identity, status.mtimeMs) ? [] : [{ kind, path, note: note.join("\n") }];
}

function commandLine(pid: string): string {
  return read(`/proc/${pid}/cmdline`);
}

/** "" where it cannot be read: gone meanwhile, or never written. */
function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
