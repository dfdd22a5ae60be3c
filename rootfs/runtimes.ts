/**
 * runc and crun of a newer suite than the image's, in an image that has another C library: each is told by its own file
 * where its dynamic loader and its libraries are (PT_INTERP, DT_RPATH), and nothing else of the image looks there. No
 * environment does it, which hooks and containers would inherit; nor a loader that is told to start them, since both start
 * themselves again as /proc/self/exe.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { AgentError, describeError } from "../src/common/errors.ts";
import { addPackage } from "./content.ts";
import { readElf } from "./elf.ts";
import { defaultSuite, runtimeLibraries, runtimes } from "./image.ts";
import { addLibraries } from "./libraries.ts";
import { type PackageOptions, type Unpacked, unpackPackages } from "./packages.ts";
import type { Toolchain } from "./toolchain.ts";
import { Tree } from "./tree.ts";

/** @throws AgentError as unpackPackages, saying what to do where the mirror has no such suite. */
export async function unpackRuntimes(options: PackageOptions): Promise<Unpacked[]> {
  const names = runtimes.packages.map(({ name }) => name);
  try {
    return await unpackPackages(names, options, "runtimes");
  } catch (cause) {
    if (!(cause instanceof AgentError)) throw cause;
    const remedy = `name a mirror that has ${options.suite} in apt's sources, or take older ones, whose known holes docs/security.md lists, with --runtimes ${defaultSuite}`;
    const message = `${names.join(" and ")} of Debian ${options.suite} cannot be had: ${describeError(cause)}; ${remedy}`;
    throw new AgentError(cause.code, message, { cause });
  }
}

/**
 * The runtimes, each at its usual place, and what they need to run, in a directory of its own.
 * @throws AgentError NOT_SUPPORTED where one would not run with what its own suite has
 */
export async function runtimesTree(
  unpacked: readonly Unpacked[],
  multiarch: string,
  cache: string,
  toolchain: Toolchain,
): Promise<Tree> {
  const asInDebian = new Tree();
  for (const pick of runtimes.packages) addPackage(asInDebian, pick, unpacked);
  const programs = [...asInDebian.entries()].map(([where]) => where);
  addLibraries(asInDebian, unpacked, multiarch);
  const tree = new Tree();
  for (const [where, node] of asInDebian.entries()) {
    if (node.type !== "file") continue;
    const to = programs.includes(where) ? where : `${runtimes.directory}/${path.posix.basename(where)}`;
    tree.file(to, node.bytes, to === where ? node.part : runtimeLibraries, node.mode);
  }
  for (const where of programs) await relink(tree, where, cache, toolchain);
  return tree;
}

/** Has a program of the tree use the tree's libraries, and sees that it would run with them. */
async function relink(tree: Tree, where: string, cache: string, toolchain: Toolchain): Promise<void> {
  const node = tree.get(where);
  if (node?.type !== "file") return;
  const { interpreter } = readElf(node.bytes, where);
  // A static program needs nothing.
  if (interpreter === undefined) return;
  const linker = `/${runtimes.directory}/${path.posix.basename(interpreter)}`;
  const kept = path.join(cache, `relinked-${hashOf(tree, [toolchain.version, where, linker])}`);
  if (!existsSync(kept)) {
    writeFileSync(`${kept}.${process.pid}`, await relinked(tree, where, linker, toolchain));
    renameSync(`${kept}.${process.pid}`, kept);
  }
  tree.file(where, readFileSync(kept), node.part, node.mode);
}

function hashOf(tree: Tree, settings: readonly string[]): string {
  const hash = createHash("sha256").update(JSON.stringify(settings));
  for (const [where, node] of tree.entries()) if (node.type === "file") hash.update(where).update(node.bytes);
  return hash.digest("hex").slice(0, 16);
}

async function relinked(tree: Tree, where: string, linker: string, toolchain: Toolchain): Promise<Buffer> {
  return await toolchain.inDirectory(async (work) => {
    for (const [file, node] of tree.entries()) {
      if (node.type === "directory") mkdirSync(path.join(work, file));
      else if (node.type === "file") writeFileSync(path.join(work, file), node.bytes, { mode: node.mode });
    }
    // Of DT_RPATH, unlike DT_RUNPATH, the libraries of libraries are found too.
    const search = ["--force-rpath", "--set-rpath", `/${runtimes.directory}`];
    await toolchain.run(work, ["patchelf", "--set-interpreter", linker, ...search, where]);
    // What ldd does, as in the image: the loader names what it takes, and each symbol that is missing.
    const trace = 'LD_TRACE_LOADED_OBJECTS=1 LD_WARN=1 LD_BIND_NOW=1 chroot . "$0" 2>&1';
    const told = (await toolchain.run(work, ["sh", "-c", trace, `/${where}`])).toString();
    const lines = told.split("\n").filter((line) => line !== "" && !/^\tlinux-vdso\S* /.test(line));
    const missing = lines.find(
      (line) =>
        !line
          .replace(/^.* => /, "")
          .trim()
          .startsWith(path.posix.dirname(linker)),
    );
    if (missing !== undefined || lines.length === 0)
      throw new AgentError(
        "NOT_SUPPORTED",
        `${where} would not run with the libraries of its own Debian suite: ${(missing ?? "its loader says nothing").trim()}; build the image with --refresh, or with another suite's by --runtimes`,
      );
    return readFileSync(path.join(work, where));
  });
}
