import { createHash } from "node:crypto";
import {
  copyFileSync,
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import path from "node:path";
import { run } from "./command.ts";
import { isUnpacked, type PackageOptions, packageFiles, recordUnpacked } from "./packages.ts";

const packages = [
  ...["g++", "gcc", "make", "binutils", "patchelf", "busybox-static"],
  ...["e2fsprogs", "squashfs-tools", "zstd"],
];
/** What the makefiles call besides; busybox does it. */
const tools = ["sh", "mkdir"];
const extract =
  'for deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -C "$root" || exit; done';

/**
 * The compilers, the C library and the tools that write file systems of the image's suite, unpacked beside each other
 * and run there, as on a machine of that suite: so that what is compiled for the image runs with the image's libraries,
 * what is packed is read by the image's kernel, and both are the same bytes, whatever the machine has.
 */
export class Toolchain {
  /** Names the very packages. */
  readonly version: string;
  readonly #root: string;
  readonly #debs: readonly string[];
  readonly #cache: string;
  #isChecked = false;

  private constructor(cache: string, debs: readonly string[]) {
    this.#cache = cache;
    this.#debs = debs;
    const names = debs.map((deb) => path.basename(deb));
    this.version = createHash("sha256")
      .update(JSON.stringify([names, tools, extract]))
      .digest("hex")
      .slice(0, 16);
    this.#root = path.join(cache, `toolchain-${this.version}`);
  }

  /**
   * Downloads it, where it is not kept.
   * @param more packages to have beside the image's own, such as a compiler for another architecture
   * @throws as unpackPackages
   */
  static async open(options: PackageOptions, more: readonly string[] = []): Promise<Toolchain> {
    const wanted = [...packages, ...more];
    const name = ["compilers", ...more].join(" and ");
    const debs = await packageFiles(name, wanted, options, (archive) => archive.closure(wanted));
    return new Toolchain(options.cache, debs);
  }

  /**
   * Runs make on a copy of the sources, unless its results are kept from before.
   *
   * @param sources patterns and paths below `root` of all that goes in, and so decides whether results are kept.
   * @param results paths that it makes, below the same root.
   * @returns the directory in which they are
   * @throws AgentError HELPER_FAILED with what the compiler said; SPAWN_FAILED
   */
  async make(
    root: string,
    job: {
      readonly sources: readonly string[];
      readonly results: readonly string[];
      readonly make: readonly string[];
    },
  ): Promise<string> {
    const files = [...new Set(job.sources.flatMap((pattern) => globSync(pattern, { cwd: root })))].sort();
    const hash = createHash("sha256").update(JSON.stringify([this.version, job]));
    for (const file of files) hash.update(`${file}\0`).update(readFileSync(path.join(root, file)));
    const kept = path.join(this.#cache, `compiled-${hash.digest("hex").slice(0, 16)}`);
    if (existsSync(kept)) return kept;
    const partial = `${kept}.${process.pid}`;
    try {
      await this.inDirectory(async (work) => {
        for (const file of files) {
          mkdirSync(path.dirname(path.join(work, file)), { recursive: true });
          copyFileSync(path.join(root, file), path.join(work, file));
        }
        await this.run(work, ["make", "-s", "-j2", ...job.make]);
        for (const result of job.results) cpSync(path.join(work, result), path.join(partial, result));
      });
      renameSync(partial, kept);
    } finally {
      rmSync(partial, { recursive: true, force: true });
    }
    return kept;
  }

  /** A program without what only a debugger reads; addons need the dynamic symbols, which stay. */
  async strip(source: string, output: string): Promise<void> {
    await this.inDirectory(async (work) => {
      copyFileSync(source, path.join(work, "program"));
      await this.run(work, ["strip", "--strip-all", "program"]);
      copyFileSync(path.join(work, "program"), output);
    });
  }

  /** With a directory in which the tools can work, and which is removed at the end. */
  async inDirectory<T>(work: (directory: string) => Promise<T>): Promise<T> {
    await this.#unpack();
    const directory = mkdtempSync(path.join(this.#root, "work-"));
    try {
      return await work(directory);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }

  async #unpack(): Promise<void> {
    if (this.#isChecked) return;
    this.#isChecked = true;
    if (isUnpacked(path.join(this.#root, "usr"))) return;
    rmSync(this.#root, { recursive: true, force: true });
    const partial = `${this.#root}.partial`;
    rmSync(partial, { recursive: true, force: true });
    for (const below of ["bin", "sbin", "lib", "lib64"]) {
      mkdirSync(path.join(partial, "usr", below), { recursive: true });
      symlinkSync(`usr/${below}`, path.join(partial, below));
    }
    const remedy = "use Debian 12 or newer, or a container of it";
    await run(["sh", "-c", extract, "sh", ...this.#debs], { remedy, env: { root: partial } });
    for (const tool of tools) symlinkSync("busybox", path.join(partial, "usr/bin", tool));
    recordUnpacked(path.join(partial, "usr"));
    for (const below of ["tmp", "dev"]) mkdirSync(path.join(partial, below), { recursive: true });
    renameSync(partial, this.#root);
  }

  /**
   * Runs one of the suite's programs, as root of it, which takes root or a user namespace.
   * @param directory of inDirectory(): paths of the command are below it
   * @returns its standard output
   */
  async run(
    directory: string,
    command: readonly string[],
    options: { input?: Buffer | string; env?: Record<string, string> } = {},
  ): Promise<Buffer> {
    const isRoot = process.getuid?.() === 0;
    const user = isRoot ? [] : ["--user", "--map-root-user"];
    const remedy = isRoot
      ? "install the Debian package util-linux where unshare is missing, else mend what is named, or remove out/cache"
      : "install the Debian package util-linux where unshare is missing; where it may not, build as root or allow user namespaces";
    const where = `/${path.relative(this.#root, directory)}`;
    return await run(["unshare", ...user, "--root", this.#root, "--wd", where, ...command], {
      remedy,
      // SOURCE_DATE_EPOCH would override the times that are given.
      env: {
        ...{ PATH: "/usr/bin:/usr/sbin", TMPDIR: "/tmp", SOURCE_DATE_EPOCH: undefined, MAKEFLAGS: undefined },
        ...options.env,
      },
      timeoutMs: 900_000,
      ...(options.input !== undefined && { input: options.input }),
    });
  }
}
