import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { AgentError } from "../src/common/errors.ts";
import { Archive, type ArchiveFile } from "./archive.ts";
import { run } from "./command.ts";
import { isRecorded, treeHash } from "./verify.ts";

export interface Unpacked {
  readonly name: string;
  readonly version: string;
  readonly directory: string;
}

/**
 * Dependencies that are followed: libraries, and the kernel behind its meta package, in however many packages it is;
 * not what only installing needs.
 */
const followed = /^(z?lib|linux-(image|modules|binary)-)/;

/** What Linux follows; path_resolution(7). */
const LONGEST_LINK_CHAIN = 40;

interface Resolved {
  /** What was asked for, with the rule by which dependencies were followed. */
  readonly wanted: readonly string[];
  /** The .debs: NAME_VERSION_ARCHITECTURE.deb, and what the archive's signed lists say of their contents. */
  readonly files: readonly { readonly file: string; readonly hash: string }[];
}

export interface PackageOptions {
  /** Where downloaded and unpacked packages are kept. */
  readonly cache: string;
  /** Debian's, such as bookworm. */
  readonly suite: string;
  /** Ask the archive again for the newest versions. */
  readonly refresh: boolean;
  readonly say: (text: string) => void;
}

/**
 * Downloads the packages and the shared libraries that they depend on, and unpacks them below the cache, without
 * installing anything. What is there already is not asked for again, so a build without a change needs no network.
 *
 * @throws AgentError HELPER_FAILED that says what to do, e.g. to check the network.
 * @param list what they are, in words that it says; keeps the answer of the archive.
 */
export async function unpackPackages(
  wanted: readonly string[],
  options: PackageOptions,
  list = "packages",
): Promise<Unpacked[]> {
  const rule = [followed.source, ...wanted];
  const files = await packageFiles(list, rule, options, async (archive) =>
    archive.files(await withLibraries(archive, wanted)),
  );
  const unpacked: Unpacked[] = [];
  let told = false;
  for (const file of files) {
    const [name = "", version = ""] = path.basename(file).split("_");
    const directory = path.join(options.cache, "unpacked", path.basename(file, ".deb"));
    if (!isUnpacked(directory)) {
      if (!told) options.say(`unpacking ${list}`);
      told = true;
      await unpack(file, directory);
    }
    unpacked.push({ name, version: decodeURIComponent(version), directory });
  }
  return unpacked;
}

/**
 * Paths of the .debs that `resolve` names, downloaded. Each is compared with its recorded hash before every use.
 * @param list keeps the answer, for as long as `wanted` is the same.
 */
export async function packageFiles(
  list: string,
  wanted: readonly string[],
  { cache, suite, refresh, say }: PackageOptions,
  resolve: (archive: Archive) => Promise<ArchiveFile[]>,
): Promise<string[]> {
  const debs = path.join(cache, "debs");
  mkdirSync(debs, { recursive: true });
  const listFile = path.join(cache, `${list}-${suite}.json`);
  let resolved = refresh ? undefined : readResolved(listFile, wanted, debs);
  if (resolved === undefined) {
    say(`asking the archive for ${list} of Debian ${suite}`);
    const archive = await Archive.open(path.join(cache, "apt", suite), suite);
    await archive.update();
    const found = await resolve(archive);
    resolved = { wanted, files: found.map(({ file, hash }) => ({ file, hash })) };
    const missing = found.filter(({ file, hash }) => !isRecorded(path.join(debs, file), hash));
    // apt takes one that is there for downloaded, and follows a link.
    for (const { file } of missing) rmSync(path.join(debs, file), { recursive: true, force: true });
    if (missing.length > 0) {
      const megabytes = missing.reduce((sum, { size }) => sum + size, 0) / 1e6;
      say(`downloading ${missing.length} packages, ${megabytes.toFixed(1)} MB`);
      await archive.download(
        missing.map(({ name }) => name),
        debs,
      );
    }
    for (const { file, hash } of missing) {
      if (isRecorded(path.join(debs, file), hash)) continue;
      throw new AgentError(
        "HELPER_FAILED",
        `${path.join(debs, file)} is not what the archive has (${hash}); build the image again`,
      );
    }
    writeFileSync(listFile, JSON.stringify(resolved, undefined, 1));
  }
  return resolved.files.map(({ file }) => path.join(debs, file));
}

function readResolved(listFile: string, wanted: readonly string[], debs: string): Resolved | undefined {
  if (!existsSync(listFile)) return undefined;
  const list = JSON.parse(readFileSync(listFile, "utf8")) as Resolved;
  // Lists of earlier versions are names alone.
  const whole = list.files.every(
    ({ file = "", hash }: Partial<Resolved["files"][number]>) =>
      file !== "" && isRecorded(path.join(debs, file), hash),
  );
  return whole && list.wanted.join() === wanted.join() ? list : undefined;
}

/** The packages themselves, what a meta package stands for, and every library below them. */
async function withLibraries(archive: Archive, wanted: readonly string[]): Promise<string[]> {
  const dependencies = await archive.dependencies(wanted);
  const found = new Set<string>();
  const visit = (name: string): void => {
    if (found.has(name) || !dependencies.has(name)) return;
    found.add(name);
    for (const next of dependencies.get(name) ?? []) if (followed.test(next)) visit(next);
  };
  for (const name of wanted) visit(name);
  return [...found].sort();
}

/** What was unpacked has its hash beside it, and is unpacked again when it is not the same any more. */
export function isUnpacked(directory: string): boolean {
  const recorded = `${directory}.sha256`;
  if (!existsSync(directory) || !existsSync(recorded)) return false;
  return readFileSync(recorded, "utf8").trim() === treeHash(directory);
}

async function unpack(deb: string, directory: string): Promise<void> {
  rmSync(directory, { recursive: true, force: true });
  rmSync(`${directory}.sha256`, { force: true });
  const partial = `${directory}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  await run(["dpkg-deb", "-x", deb, partial], { remedy: "use Debian 12 or newer, or a container of it" });
  recordUnpacked(directory, partial);
  renameSync(partial, directory);
}

/** @param partial where it is until it gets its name */
export function recordUnpacked(directory: string, partial = directory): void {
  writeFileSync(`${directory}.sha256`, `${treeHash(partial)}\n`, { flag: "wx" });
}

/**
 * A file of a package, wherever Debian has it: below / or /usr, in bin or sbin (suites have moved both ways).
 * @param file below /usr, such as `bin/busybox`, or in `etc/`.
 * @throws AgentError NOT_SUPPORTED
 */
export function findFile(unpacked: readonly Unpacked[], name: string, file: string): string {
  const directory = unpacked.find((candidate) => candidate.name === name)?.directory;
  if (directory === undefined)
    throw new AgentError("NOT_SUPPORTED", `there is no Debian package ${name}; correct rootfs/image.ts`);
  const names = [file, file.replace(/^sbin\//, "bin/"), file.replace(/^bin\//, "sbin/")];
  const found = ["usr", ""]
    .flatMap((base) => names.map((candidate) => path.join(directory, base, candidate)))
    .find((candidate) => lstatSync(candidate, { throwIfNoEntry: false }) !== undefined);
  if (found !== undefined) return found;
  throw new AgentError(
    "NOT_SUPPORTED",
    `Debian package ${name} has no ${file} any more; correct rootfs/image.ts`,
  );
}

/**
 * Where a file of a package is, links followed as in the finished image: an absolute one, such as libc6's to the dynamic
 * loader, begins at the package's root, not at that of the machine that builds.
 * @param directory the package's root; `file` is below it
 * @throws AgentError NOT_SUPPORTED when it leads to nothing in this package
 */
export function followLinks(directory: string, file: string): string {
  let at = file;
  for (let followed = 0; followed < LONGEST_LINK_CHAIN; followed++) {
    const status = lstatSync(at, { throwIfNoEntry: false });
    if (status === undefined || !at.startsWith(`${directory}/`)) break;
    if (!status.isSymbolicLink()) return at;
    const target = readlinkSync(at);
    at = path.isAbsolute(target) ? path.join(directory, target) : path.join(path.dirname(at), target);
  }
  throw new AgentError("NOT_SUPPORTED", `${file} is a link to nothing in its own package; correct rootfs`);
}

/** The kernel's own file and its modules, which need not be in the same package. */
export function findKernel(
  unpacked: readonly Unpacked[],
  kernelFile: string,
): { release: string; modules: string; image: string } {
  const find = (below: string, wanted: (name: string) => boolean) =>
    unpacked
      .map(({ directory }) => path.join(directory, below))
      .filter((directory) => existsSync(directory))
      .flatMap((directory) => readdirSync(directory).map((name) => path.join(directory, name)))
      .find((file) => wanted(path.basename(file)));
  const image = find("boot", (name) => name.startsWith(`${kernelFile}-`));
  const release = image && path.basename(image).slice(kernelFile.length + 1);
  const modules =
    find("lib/modules", (name) => name === release) ?? find("usr/lib/modules", (name) => name === release);
  if (image && release && modules) return { release, modules, image };
  throw new AgentError(
    "NOT_SUPPORTED",
    `no kernel (boot/${kernelFile}-*) with its modules is in the kernel package; was it signed or renamed?`,
  );
}
