import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { AgentError } from "../src/common/errors.ts";
import { readElf } from "./elf.ts";
import type { ModuleGroup } from "./image.ts";

interface Module {
  readonly name: string;
  /** Below /lib/modules/RELEASE. */
  readonly file: string;
  readonly bytes: Buffer;
  readonly depends: readonly string[];
  readonly aliases: readonly string[];
}

const normal = (name: string) => name.replaceAll("-", "_");

/** The modules of one kernel, read from its files: Debian's package leaves modules.dep to the target's depmod. */
export class KernelModules {
  readonly #files = new Map<string, string>();
  readonly #builtin: ReadonlySet<string>;
  readonly #loaded = new Map<string, Module>();
  readonly #directory: string;

  /** @param directory lib/modules/RELEASE of the unpacked kernel package. */
  constructor(directory: string) {
    this.#directory = directory;
    const found = readdirSync(path.join(directory, "kernel"), { recursive: true, encoding: "utf8" }).sort();
    for (const file of found) {
      const match = /([^/]+)\.ko(\.\w+)?$/.exec(file);
      if (match?.[1]) this.#files.set(normal(match[1]), path.posix.join("kernel", file));
    }
    const builtin = readFileSync(path.join(directory, "modules.builtin"), "utf8").split("\n");
    this.#builtin = new Set(builtin.map((line) => normal(path.basename(line, ".ko"))));
  }

  /** The module files for the names, each after those that it depends on; what is built in or absent is left out. */
  inLoadOrder(names: readonly string[]): Module[] {
    const ordered = new Map<string, Module>();
    const visit = (name: string): void => {
      const module = this.#read(normal(name));
      if (module === undefined || ordered.has(module.name)) return;
      for (const dependency of module.depends) visit(dependency);
      ordered.set(module.name, module);
    };
    for (const name of names) visit(name);
    return [...ordered.values()];
  }

  #read(name: string): Module | undefined {
    const known = this.#loaded.get(name);
    if (known) return known;
    const file = this.#files.get(name);
    if (file === undefined) return undefined;
    const bytes = readModule(path.join(this.#directory, file));
    const info = readElf(bytes, file).moduleInfo;
    const values = (key: string) =>
      info.filter((line) => line.startsWith(`${key}=`)).map((line) => line.slice(key.length + 1));
    const split = (text: string) => text.split(/[\s,]+/).filter(Boolean);
    const soft = values("softdep").flatMap((line) => /^pre:\s*(.*?)(\s+post:.*)?$/.exec(line)?.[1] ?? "");
    const module: Module = {
      name,
      // Unpacked: the image is compressed as a whole, and a kernel may lack what unpacks its modules.
      file: file.replace(packed, ".ko"),
      bytes,
      depends: [...values("depends").flatMap(split), ...soft.flatMap(split)].map(normal),
      aliases: values("alias"),
    };
    this.#loaded.set(name, module);
    return module;
  }

  /** Names that this kernel neither has as a file nor built in. */
  absent(names: readonly string[]): string[] {
    return names.filter((name) => !this.#files.has(normal(name)) && !this.#builtin.has(normal(name)));
  }
}

const packed = /\.ko\.\w+$/;

/** @throws AgentError NOT_SUPPORTED, INVALID_DATA */
function readModule(file: string): Buffer {
  const bytes = readFileSync(file);
  switch (path.extname(file)) {
    case ".ko":
      return bytes;
    case ".zst":
      return zstdDecompressSync(bytes);
    case ".gz":
      return gunzipSync(bytes);
    case ".xz": {
      const { error, status, stdout } = spawnSync("xz", ["-dc"], {
        input: bytes,
        maxBuffer: 1 << 28,
        timeout: 60_000,
      });
      if (error !== undefined)
        throw new AgentError("SPAWN_FAILED", "xz cannot be run; install the Debian package xz-utils", {
          cause: error,
        });
      if (status !== 0) throw new AgentError("INVALID_DATA", `xz cannot unpack the kernel module ${file}`);
      return stdout;
    }
    default:
      throw new AgentError(
        "NOT_SUPPORTED",
        `kernel module ${file} is packed in an unknown way; add it to rootfs/kernel-modules.ts`,
      );
  }
}

/** The list that /init reads (native/init/modules.c tells its form). */
export function bootList(modules: KernelModules, groups: readonly ModuleGroup[]): string {
  const lines = groups
    .map((group) => {
      const words: Readonly<Record<string, string>> = { boot: "-", demand: "+" };
      const condition = typeof group.when === "string" ? (words[group.when] ?? "") : group.when.join(",");
      return { condition, files: modules.inLoadOrder(group.modules).map((module) => module.file) };
    })
    .filter((line) => line.files.length > 0);
  return lines.map((line) => `${line.condition} ${line.files.join(" ")}\n`).join("");
}

/** modules.dep and modules.alias for modprobe. */
export function modprobeTables(
  modules: KernelModules,
  names: readonly string[],
): { dep: string; alias: string } {
  const all = modules.inLoadOrder(names).sort((a, b) => (a.name < b.name ? -1 : 1));
  const dep = all.map((module) => {
    // modprobe inserts from the last to the first.
    const before = modules.inLoadOrder([module.name]).slice(0, -1).reverse();
    return `${module.file}:${before.map((dependency) => ` ${dependency.file}`).join("")}\n`;
  });
  const alias = all.flatMap((module) => module.aliases.map((pattern) => `alias ${pattern} ${module.name}\n`));
  return { dep: dep.join(""), alias: alias.join("") };
}
