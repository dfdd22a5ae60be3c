import { execFile } from "node:child_process";
import path from "node:path";
import { promisify } from "node:util";

export const root = path.resolve(import.meta.dirname, "../..");

/** Runs the image build as a user would and returns what it said. */
export async function buildImage(
  args: readonly string[] = [],
  env: Record<string, string> = {},
): Promise<string> {
  const build = promisify(execFile)(path.join(root, "bin/node-pinned"), ["rootfs/build.ts", ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    maxBuffer: 1 << 24,
  });
  return (await build).stderr;
}
