/**
 * Building the image from an installed package: of the sources that it brings, in a directory of the user's own, since the
 * package may be another user's, or read-only.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { makePrivate } from "../common/cache/trusted-directory.ts";
import { AgentError } from "../common/errors.ts";
import { runHelper } from "../common/helper.ts";
import { packageRoot } from "../common/installation.ts";
import { ownImageDirectory } from "../hcs/uvm/qemu/built-image.ts";
import { say } from "./output.ts";

const REMEDY = "set XDG_DATA_HOME to a directory of your own";
/** Downloading the packages, Node among them. */
const INSTALL_DEADLINE_MS = 30 * 60_000;

/** @returns the exit status of the build. @throws AgentError where it cannot begin */
export async function buildFromPackage(args: readonly string[]): Promise<number> {
  const target = ownImageDirectory();
  const parent = dirname(target);
  makePrivate(parent, REMEDY);
  const sources = mkdtempSync(join(parent, "sources-"));
  try {
    await runHelper("tar", ["-xzf", join(packageRoot, "image-sources.tgz"), "-C", sources]);
    say("installing what the image is built with, by npm");
    // Its own project, whatever npm was told of the one that this is run from.
    await runHelper("npm", ["ci", "--ignore-scripts", "--loglevel=error", "--global=false"], {
      cwd: sources,
      deadlineMs: INSTALL_DEADLINE_MS,
      addedEnv: { npm_config_prefix: undefined, npm_config_local_prefix: undefined },
      remedy: "see that npm and its registry can be reached",
    });
    const out = args.includes("--out") ? [] : ["--out", target];
    const build = [join(sources, "bin/node-pinned"), join(sources, "rootfs/build.ts"), ...out, ...args];
    const child = spawn("sh", build, { stdio: ["ignore", 2, 2] });
    const [code, signal] = (await once(child, "exit").catch((cause: unknown) => {
      throw new AgentError("SPAWN_FAILED", "sh cannot be run", { cause });
    })) as [number | null, NodeJS.Signals | null];
    return signal === null ? (code ?? 1) : 1;
  } finally {
    rmSync(sources, { recursive: true, force: true });
  }
}
