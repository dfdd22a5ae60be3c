import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { AgentError, describeError } from "../src/errors.ts";
import { run } from "./command.ts";

const tools = "the image is built from Debian packages: use Debian 12 or newer, or a container of it";

export interface Unpacked {
  readonly name: string;
  readonly version: string;
  readonly directory: string;
}

/** Dependencies that are followed: libraries, and the kernel behind its meta package; not what only installing needs. */
const followed = /^(z?lib|linux-image-)/;

interface Resolved {
  /** What was asked for, with the rule by which dependencies were followed. */
  readonly wanted: readonly string[];
  /** File names of the .debs: NAME_VERSION_ARCHITECTURE.deb */
  readonly files: readonly string[];
}

/**
 * Downloads the packages and the shared libraries that they depend on, and unpacks them below `cache`, without
 * installing anything. What is there already is not asked for again, so a build without a change needs no network.
 *
 * @param refresh ask the archive again for the newest versions.
 * @throws AgentError HELPER_FAILED that says what to do, e.g. to run apt-get update.
 */
export async function unpackPackages(
  wanted: readonly string[],
  options: { cache: string; refresh: boolean; say: (text: string) => void },
): Promise<Unpacked[]> {
  const debs = path.join(options.cache, "debs");
  mkdirSync(debs, { recursive: true });
  const listFile = path.join(options.cache, "packages.json");
  let resolved = options.refresh ? undefined : readResolved(listFile, wanted);
  if (resolved === undefined) {
    options.say("asking apt for packages");
    const uris = await archiveFiles(await withLibraries(wanted));
    resolved = { wanted: [followed.source, ...wanted], files: uris.map((uri) => uri.file) };
    const missing = uris.filter((uri) => !existsSync(path.join(debs, uri.file)));
    if (missing.length > 0) {
      options.say(
        `downloading ${missing.length} packages, ${(missing.reduce((sum, uri) => sum + uri.size, 0) / 1e6).toFixed(1)} MB`,
      );
      await download(
        missing.map((uri) => uri.name),
        debs,
      );
    }
    writeFileSync(listFile, JSON.stringify(resolved, undefined, 1));
  }
  const unpacked: Unpacked[] = [];
  let told = false;
  for (const file of resolved.files) {
    const [name = "", version = ""] = file.split("_");
    const directory = path.join(options.cache, "unpacked", file.replace(/\.deb$/, ""));
    if (!existsSync(directory)) {
      if (!told) options.say("unpacking packages");
      told = true;
      await unpack(path.join(debs, file), directory);
    }
    unpacked.push({ name, version: decodeURIComponent(version), directory });
  }
  return unpacked;
}

function readResolved(listFile: string, wanted: readonly string[]): Resolved | undefined {
  if (!existsSync(listFile)) return undefined;
  const list = JSON.parse(readFileSync(listFile, "utf8")) as Resolved;
  const debs = path.join(path.dirname(listFile), "debs");
  const whole = list.files.every((file) => existsSync(path.join(debs, file)));
  return whole && list.wanted.join() === [followed.source, ...wanted].join() ? list : undefined;
}

/** The packages themselves, what a meta package stands for, and every library below them. */
async function withLibraries(wanted: readonly string[]): Promise<string[]> {
  const skip = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"].map(
    (kind) => `--no-${kind}`,
  );
  let listing: string;
  try {
    listing = (
      await run(["apt-cache", "depends", "--recurse", ...skip, ...wanted], { remedy: tools })
    ).toString();
  } catch (cause) {
    throw new AgentError(
      "HELPER_FAILED",
      `apt knows not all of the packages ${wanted.join(", ")}: as root run apt-get update, and have Debian's main archive among apt's sources (${describeError(cause)})`,
      { cause },
    );
  }
  const dependencies = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of listing.split("\n")) {
    const dependency = /^ [ |](?:Pre)?Depends: ([^<\s]+)/.exec(line)?.[1];
    if (/^\S/.test(line)) {
      current = [];
      dependencies.set(line.trim(), current);
    } else if (dependency !== undefined) current.push(dependency);
  }
  const found = new Set<string>();
  const visit = (name: string): void => {
    if (found.has(name) || !dependencies.has(name)) return;
    found.add(name);
    for (const next of dependencies.get(name) ?? []) if (followed.test(next)) visit(next);
  };
  for (const name of wanted) visit(name);
  return [...found].sort();
}

async function archiveFiles(
  names: readonly string[],
): Promise<{ name: string; file: string; size: number }[]> {
  const remedy = "as root run apt-get update";
  const listing = (await run(["apt-get", "download", "--print-uris", ...names], { remedy })).toString();
  return [...listing.matchAll(/^'[^']+' (\S+) (\d+)/gm)].map((match) => {
    const file = match[1] ?? "";
    return { name: file.split("_")[0] ?? "", file, size: Number(match[2]) };
  });
}

async function download(names: readonly string[], debs: string): Promise<void> {
  const remedy = "check the network, as root run apt-get update, then build the image again";
  const sandbox = process.getuid?.() === 0 ? ["-o", "APT::Sandbox::User=root"] : [];
  await run(["apt-get", "download", "-q", ...sandbox, ...names], { remedy, cwd: debs, timeoutMs: 900_000 });
}

async function unpack(deb: string, directory: string): Promise<void> {
  const partial = `${directory}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { recursive: true });
  await run(["dpkg-deb", "-x", deb, partial], { remedy: tools });
  renameSync(partial, directory);
}

/** The one directory below lib/modules of the unpacked kernel, and the kernel's own file. */
export function findKernel(
  unpacked: readonly Unpacked[],
  kernelFile: string,
): { release: string; modules: string; image: string } {
  for (const { directory } of unpacked) {
    const boot = path.join(directory, "boot");
    const image = existsSync(boot)
      ? readdirSync(boot).find((name) => name.startsWith(`${kernelFile}-`))
      : undefined;
    if (image === undefined) continue;
    const release = image.slice(kernelFile.length + 1);
    const modules = ["lib/modules", "usr/lib/modules"]
      .map((below) => path.join(directory, below, release))
      .find((candidate) => existsSync(candidate));
    if (modules) return { release, modules, image: path.join(boot, image) };
  }
  throw new AgentError(
    "NOT_SUPPORTED",
    `no kernel (boot/${kernelFile}-*) is in the kernel package; was it signed or renamed?`,
  );
}
