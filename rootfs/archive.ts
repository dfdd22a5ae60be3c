import { accessSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { AgentError, describeError } from "../src/common/errors.ts";
import { run } from "./command.ts";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const needsDebian = "the image is built from Debian packages: use Debian 12 or newer, or a container of it";
const needsNetwork = "check the network and apt's sources, then build the image again";

export interface ArchiveFile {
  /** Package. */
  readonly name: string;
  /** NAME_VERSION_ARCHITECTURE.deb */
  readonly file: string;
  /** Bytes. */
  readonly size: number;
  /** What the archive's signed lists say of its contents: "SHA256:0123...". */
  readonly hash: string;
}

/**
 * One suite of Debian's archive as apt knows it by itself: with sources, package lists and a status (nothing is
 * installed) of its own, so that what it answers does not hang on the suite, the pins and the packages of the
 * machine. Of the machine are the mirror, the way to it (proxies and the like) and the archive's keyring.
 */
export class Archive {
  readonly #directory: string;
  readonly #suite: string;

  readonly #mirror: Mirror;

  private constructor(directory: string, suite: string, mirror: Mirror) {
    this.#directory = directory;
    this.#suite = suite;
    this.#mirror = mirror;
  }

  /**
   * @param directory the archive's own, for good: what apt has downloaded stays there.
   * @param beside further distributions of the archive, such as bookworm-backports
   * @throws AgentError INVALID_ARGUMENT, NOT_SUPPORTED, SPAWN_FAILED, HELPER_FAILED, HELPER_TIMEOUT
   */
  static async open(directory: string, suite: string, beside: readonly string[] = []): Promise<Archive> {
    if (!/^[a-z]+$/.test(suite))
      throw new AgentError("INVALID_ARGUMENT", `${suite} is no name of a Debian suite, such as bookworm`);
    try {
      accessSync(KEYRING);
    } catch (cause) {
      throw new AgentError(
        "NOT_SUPPORTED",
        `${KEYRING} is missing, and with it the keys that Debian signs with; install the Debian package debian-archive-keyring`,
        { cause },
      );
    }
    const mirror = await findMirror();
    for (const below of ["state/lists/partial", "cache/archives/partial"])
      mkdirSync(path.join(directory, below), { recursive: true });
    const file = (name: string) => path.join(directory, name);
    const settings = {
      "Dir::Etc::main": "/dev/null",
      "Dir::Etc::parts": "/dev/null",
      "Dir::Etc::sourcelist": file("sources.list"),
      "Dir::Etc::sourceparts": "/dev/null",
      "Dir::Etc::preferences": "/dev/null",
      "Dir::Etc::preferencesparts": "/dev/null",
      "Dir::State": file("state"),
      "Dir::State::status": file("status"),
      "Dir::Cache": file("cache"),
      "APT::Sandbox::User": "root",
    };
    const how = (await run(["apt-config", "dump", "Acquire"], { remedy: needsDebian })).toString();
    const own = Object.entries(settings).map(([name, value]) => `${name} ${JSON.stringify(value)};\n`);
    writeFileSync(file("apt.conf"), how + own.join(""));
    writeFileSync(file("status"), "");
    writeFileSync(file("sources.list"), sources([...distributionsOf(suite), ...beside], mirror));
    return new Archive(directory, suite, mirror);
  }

  /** Asks the mirror what there is. @throws AgentError HELPER_FAILED */
  async update(): Promise<void> {
    try {
      await this.#apt(["apt-get", "update", "-q", "--error-on=any"], { timeoutMs: 600_000 });
    } catch (cause) {
      throw new AgentError(
        "HELPER_FAILED",
        `the package lists of Debian ${this.#suite} cannot be had from ${this.#mirror.main}: ${describeError(cause)}`,
        { cause },
      );
    }
  }

  /** What the packages depend on, recommendations aside, by package; for a choice of what to follow. */
  async dependencies(names: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
    const kinds = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"];
    const skip = kinds.map((kind) => `--no-${kind}`);
    const listing = await this.#apt(["apt-cache", "depends", "--recurse", ...skip, ...names]);
    const found = new Map<string, string[]>();
    let current: string[] = [];
    for (const line of listing.split("\n")) {
      const dependency = /^ [ |](?:Pre)?Depends: ([^<\s]+)/.exec(line)?.[1];
      if (/^\S/.test(line)) {
        current = [];
        found.set(line.trim(), current);
      } else if (dependency !== undefined) current.push(dependency);
    }
    return found;
  }

  /** Every version that there is of a package, and the distribution that has it. */
  async versions(name: string): Promise<{ version: string; distribution: string }[]> {
    const listing = await this.#apt(["apt-cache", "madison", name]);
    const rows = [...listing.matchAll(/^ *\S+ \| +(\S+) \| +\S+ (\S+)\/main \S+ Packages$/gm)];
    return rows.map(([, version = "", distribution = ""]) => ({ version, distribution }));
  }

  /** The newest files of exactly these packages. */
  async files(names: readonly string[]): Promise<ArchiveFile[]> {
    return archiveFiles(await this.#apt(["apt-get", "download", "--print-uris", ...names]));
  }

  /** The files of these packages and of all that they need to run, on a machine with nothing. */
  async closure(names: readonly string[]): Promise<ArchiveFile[]> {
    const options = ["--print-uris", "--yes", "--no-install-recommends"];
    const needed = archiveFiles(await this.#apt(["apt-get", "install", ...options, ...names]));
    // What an installation tells of each is its MD5 alone, whatever else is known.
    return await this.files(needed.map(({ name }) => name));
  }

  async download(names: readonly string[], directory: string): Promise<void> {
    await this.#apt(["apt-get", "download", "-q", ...names], { cwd: directory, timeoutMs: 900_000 });
  }

  async #apt(
    command: readonly [string, ...string[]],
    options: { cwd?: string; timeoutMs?: number } = {},
  ): Promise<string> {
    const env = { APT_CONFIG: path.join(this.#directory, "apt.conf") };
    return (await run(command, { remedy: needsNetwork, env, ...options })).toString();
  }
}

/** Where a suite's packages come from: itself, its updates and its security updates. */
function distributionsOf(suite: string): string[] {
  const isRolling = suite === "sid" || suite === "unstable";
  return isRolling ? [suite] : [suite, `${suite}-updates`, `${suite}-security`];
}

function sources(distributions: readonly string[], mirror: Mirror): string {
  const lines = distributions.map((name) => {
    const uri = name.endsWith("-security") ? mirror.security : mirror.main;
    return `deb [signed-by=${KEYRING}] ${uri} ${name} main\n`;
  });
  return lines.join("");
}

interface Mirror {
  readonly main: string;
  readonly security: string;
}

/** The machine's own mirror, whatever suite of it the machine is. */
async function findMirror(): Promise<Mirror> {
  const format = "$(ORIGIN)|$(LABEL)|$(REPO_URI)";
  const list = async (...options: string[]) => {
    const command = [
      "apt-get",
      "indextargets",
      ...options,
      "--format",
      format,
      "Created-By: Packages",
    ] as const;
    const listing = await run([...command], { remedy: needsDebian });
    return listing
      .toString()
      .split("\n")
      .map((line) => line.split("|"));
  };
  // Before the first apt-get update apt knows no origins, only the addresses.
  const [known, addresses] = [await list(), await list("--no-release-info")];
  const uriOf = (label: string, ending: RegExp) =>
    known.find((row) => row[0] === "Debian" && row[1] === label)?.[2] ??
    addresses.find((row) => ending.test(row[2] ?? ""))?.[2];
  const main = uriOf("Debian", /\/debian\/?$/);
  if (main === undefined)
    throw new AgentError(
      "NOT_SUPPORTED",
      "apt's sources name no mirror of Debian's main archive; add one, then as root run apt-get update",
    );
  // A machine of a suite without security updates (sid) does not name it; it lies beside the main archive.
  const beside = main.replace(/\/debian(\/?)$/, "/debian-security$1");
  return { main, security: uriOf("Debian-Security", /\/debian-security\/?$/) ?? beside };
}

function archiveFiles(listing: string): ArchiveFile[] {
  return [...listing.matchAll(/^'[^']+' (\S+) (\d+)(?: (\S+))?/gm)].map((match) => {
    const file = match[1] ?? "";
    return { name: file.split("_")[0] ?? "", file, size: Number(match[2]), hash: match[3] ?? "" };
  });
}
