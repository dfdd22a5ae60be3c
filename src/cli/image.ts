/** The image that `lcow` boots: where it is, and building it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { AgentError } from "../common/errors.ts";
import { isPackaged, packageRoot } from "../common/installation.ts";
import { nodeFlags } from "../common/node-flags.ts";
import { type BootFiles, builtImage, findBuiltImage } from "../hcs/uvm/qemu/built-image.ts";
import { type OptionDescription, UsageError } from "./arguments.ts";
import { say } from "./output.ts";
import { readCount, readNotEmpty } from "./values.ts";
import type { Verb } from "./verb.ts";

export type Image = BootFiles;

/** Builds what is missing of the image, or older than its sources; says how far it is on standard error. */
export async function buildImage(args: readonly string[] = []): Promise<number> {
  if (isPackaged) return await (await import("./image-sources.ts")).buildFromPackage(args);
  const build = join(packageRoot, "rootfs/build.ts");
  const child = spawn(process.execPath, [...nodeFlags, build, ...args], { stdio: ["ignore", 2, 2] });
  const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  return signal === null ? (code ?? 1) : 1;
}

/**
 * The named files, or the default image, which a checkout builds when it is not there yet.
 * @throws AgentError HELPER_FAILED, SPAWN_FAILED in a package, with what to do
 */
export async function findImage(named: Partial<Image>): Promise<Image> {
  const found = builtImage();
  const image = { ...found, ...named };
  const missing = await Promise.all(
    Object.values(found)
      .filter((file) => Object.values(image).includes(file))
      .map((file) =>
        access(file).then(
          () => false,
          () => true,
        ),
      ),
  );
  if (missing.includes(true)) {
    if (isPackaged || process.env.LCOW_IMAGE) return findBuiltImage(image);
    say("there is no image yet; building it, once");
    if ((await buildImage()) !== 0) {
      throw new AgentError("HELPER_FAILED", "the image could not be built; see above, or try: npm run image");
    }
  }
  return image;
}

const LEVEL: OptionDescription<number> = {
  name: "level",
  value: "N",
  read: readCount(1, 22),
  help: "of zstd, 1 to 22; a higher one takes longer and gives a smaller initrd",
};
const OUT: OptionDescription<string> = {
  name: "out",
  value: "DIR",
  read: readNotEmpty,
  completes: "directory",
  help: "where to write (default out)",
};

const SUITE: OptionDescription<string> = {
  name: "suite",
  value: "NAME",
  read: readSuite,
  help: "of Debian, whose packages it is made of (default bookworm)",
};
const RUNTIMES: OptionDescription<string> = {
  name: "runtimes",
  value: "NAME",
  read: readSuite,
  help: "the suite of Debian whose runc and crun it has (default sid)",
};

function readSuite(text: string, what: string): string {
  if (/^[a-z]+$/.test(text)) return text;
  throw new UsageError(`${what}: expected the name of a suite, such as bookworm`);
}

export const verb: Verb = {
  operands: [],
  about:
    "Builds what is missing of the image that `lcow run` and `lcow boot` use, or older than its sources.",
  options: [
    OUT,
    SUITE,
    RUNTIMES,
    LEVEL,
    { name: "refresh", help: "ask the package archive for newer versions" },
    { name: "force", help: "build everything again, whatever is kept from before" },
  ],
  async run(found) {
    const [out, level] = [found.read(OUT), found.read(LEVEL)];
    const [suite, runtimes] = [found.read(SUITE), found.read(RUNTIMES)];
    return await buildImage([
      ...(out === undefined ? [] : ["--out", out]),
      ...(suite === undefined ? [] : ["--suite", suite]),
      ...(runtimes === undefined ? [] : ["--runtimes", runtimes]),
      ...(level === undefined ? [] : ["--level", String(level)]),
      ...["refresh", "force"].filter((name) => found.has(name)).map((name) => `--${name}`),
    ]);
  },
};
