/**
 * What a cache directory holds, each under a name of its own, and who uses it. All calls are synchronous: what is
 * checked and what follows from it are not interrupted by this process, and others agree by files that only one of
 * them can make.
 *
 * Whoever uses an entry marks that first and then looks whether somebody is about to remove it; whoever removes one
 * says so first and then looks whether it is used. So one of two always sees the other, and nobody waits.
 */
import { randomBytes } from "node:crypto";
import {
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { isAlive, ownIdentity } from "./process-identity.ts";

/** An entry in use: nobody removes it until then, or until this process ends. */
export interface Lease {
  readonly path: string;
  release(): void;
}

export interface Entry {
  readonly name: string;
  readonly path: string;
  /** When it was last asked for; milliseconds since 1970. */
  readonly usedMs: number;
}

/** Half-made and half-removed entries; the rest of the name is the maker's identity and something at random. */
const STAGING = /^\.(?:making|removing)-/;
/** Processes that were killed leave theirs behind. */
const MANY_MARKS = 200;
let count = 0;

export class Entries {
  readonly directory: string;
  /** "layers", say: tells its marks from those of other directories. */
  readonly #kind: string;
  readonly #marks: string;

  /** @param marks a directory for all kinds, private as the entries' own */
  constructor(kind: string, directory: string, marks: string) {
    this.#kind = kind;
    this.directory = directory;
    this.#marks = marks;
  }

  /** @returns undefined when there is none, or it is just being removed: then make one. */
  take(name: string): Lease | undefined {
    if (readdirSync(this.#marks).length > MANY_MARKS) this.sweep();
    const lease = this.#mark(name);
    const isThere = lstatSync(lease.path, { throwIfNoEntry: false }) !== undefined;
    if (isThere && !this.#isDoomed(name)) {
      this.#touch(name);
      return lease;
    }
    lease.release();
    return undefined;
  }

  /** Where to make an entry: nobody else has the name. */
  stagingPath(): string {
    return join(this.directory, `.making-${ownIdentity()}-${randomBytes(4).toString("hex")}`);
  }

  /** Gives what was made, at a staging path, its name in one go. Whoever was faster has made the same. */
  add(made: string, name: string): Lease {
    let lease = this.#mark(name);
    if (this.#isDoomed(name)) {
      // Somebody died in removing it, or is about to: then this one lives under a name that is not asked for again.
      lease.release();
      lease = this.#mark(`${name}~${randomBytes(4).toString("hex")}`);
    }
    try {
      renameSync(made, lease.path);
    } catch (cause) {
      // A directory cannot take the place of one that is not empty.
      const isThere = statSync(lease.path, { throwIfNoEntry: false })?.isDirectory() === true;
      if (!isThere) {
        lease.release();
        throw cause;
      }
      rmSync(made, { recursive: true, force: true });
    }
    this.#touch(name);
    return lease;
  }

  /** The one that was used last comes first. */
  list(): Entry[] {
    return readdirSync(this.directory)
      .filter((name) => !name.startsWith("."))
      .map((name) => ({ name, path: join(this.directory, name), usedMs: this.#usedMs(name) }))
      .sort((one, other) => other.usedMs - one.usedMs);
  }

  isUsed(name: string): boolean {
    const prefix = this.#markPrefix(name);
    return readdirSync(this.#marks).some(
      (mark) => mark.startsWith(prefix) && this.#isLive(mark, mark.slice(prefix.length)),
    );
  }

  /** Removes an entry that nobody uses. @returns whether it did. */
  remove(name: string): boolean {
    const doom = this.#doomPath(name);
    try {
      writeFileSync(doom, ownIdentity(), { flag: "wx", mode: 0o600 });
    } catch {
      return false; // somebody else removes it, or died in doing so: sweep() forgets that
    }
    const gone = join(this.directory, `.removing-${ownIdentity()}-${randomBytes(4).toString("hex")}`);
    try {
      if (this.isUsed(name)) return false;
      renameSync(join(this.directory, name), gone);
      rmSync(this.#stampPath(name), { force: true });
    } finally {
      rmSync(doom, { force: true });
    }
    rmSync(gone, { recursive: true, force: true });
    return true;
  }

  /** What processes left behind that have ended: marks, and paths of what they were making or removing. */
  abandoned(): string[] {
    const dead = (path: string, identity: string) => {
      const status = lstatSync(path, { throwIfNoEntry: false });
      return status !== undefined && !isAlive(identity, status.mtimeMs);
    };
    const staged = readdirSync(this.directory)
      .filter((name) => STAGING.test(name))
      .map((name) => ({
        path: join(this.directory, name),
        identity: name.replace(STAGING, "").replace(/-[\da-f]{8}$/, ""),
      }));
    return staged.filter(({ path, identity }) => dead(path, identity)).map(({ path }) => path);
  }

  /** Forgets marks of processes that have ended. */
  sweep(): void {
    for (const mark of readdirSync(this.#marks)) {
      const path = join(this.#marks, mark);
      const [state = "", kind, name = "", identity = ""] = mark.split(":");
      if (kind !== this.#kind) continue;
      if (state === "used" && identity !== "" && !this.#isLive(mark, identity)) rmSync(path, { force: true });
      if (state === "doomed" && !this.#isDoomLive(path)) rmSync(path, { force: true });
      if (state === "stamp" && !lstatSync(join(this.directory, name), { throwIfNoEntry: false })) {
        rmSync(path, { force: true });
      }
    }
  }

  #mark(name: string): Lease {
    const mark = join(this.#marks, `${this.#markPrefix(name)}${ownIdentity()}:${count++}`);
    writeFileSync(mark, "", { flag: "wx", mode: 0o600 });
    return { path: join(this.directory, name), release: () => rmSync(mark, { force: true }) };
  }

  #isLive(mark: string, rest: string): boolean {
    const status = lstatSync(join(this.#marks, mark), { throwIfNoEntry: false });
    return status !== undefined && isAlive(rest.split(":")[0] ?? "", status.mtimeMs);
  }

  #isDoomed(name: string): boolean {
    return lstatSync(this.#doomPath(name), { throwIfNoEntry: false }) !== undefined;
  }

  #isDoomLive(path: string): boolean {
    const status = lstatSync(path, { throwIfNoEntry: false });
    // Empty: its maker is just writing it, or was ended in between.
    return status !== undefined && isAlive(readIdentity(path), status.mtimeMs);
  }

  #touch(name: string): void {
    const stamp = this.#stampPath(name);
    writeFileSync(stamp, "", { mode: 0o600 });
    utimesSync(stamp, new Date(), new Date());
  }

  #usedMs(name: string): number {
    const stamp = lstatSync(this.#stampPath(name), { throwIfNoEntry: false });
    return stamp?.mtimeMs ?? lstatSync(join(this.directory, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  }

  #markPrefix(name: string): string {
    return `used:${this.#kind}:${name}:`;
  }

  #doomPath(name: string): string {
    return join(this.#marks, `doomed:${this.#kind}:${name}`);
  }

  #stampPath(name: string): string {
    return join(this.#marks, `stamp:${this.#kind}:${name}`);
  }
}

function readIdentity(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // done meanwhile
  }
}
