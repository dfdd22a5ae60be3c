import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { AgentError } from "../src/common/errors.ts";
import { run } from "./command.ts";
import { thinLocaleData } from "./icu.ts";
import { keepsLocaleData } from "./image.ts";
import type { Toolchain } from "./toolchain.ts";

/**
 * The pinned Node without what only a debugger or another language's user reads; kept in `cache`.
 * @throws AgentError NOT_SUPPORTED when it is not installed; what the tools throw.
 */
export async function smallNode(source: string, cache: string, toolchain: Toolchain): Promise<Buffer> {
  const recipe = createHash("sha256").update(`${keepsLocaleData} ${toolchain.version}`);
  for (const file of ["icu.ts", "../package-lock.json"])
    recipe.update(readFileSync(path.join(import.meta.dirname, file)));
  if (!existsSync(source)) throw new AgentError("NOT_SUPPORTED", `${source} is missing; run npm run setup`);
  const { size, mtimeMs } = statSync(source);
  const small = path.join(cache, `node-${recipe.update(`${size} ${mtimeMs}`).digest("hex").slice(0, 16)}`);
  if (!existsSync(small)) {
    const partial = `${small}.${process.pid}`;
    await toolchain.strip(source, partial);
    const binary = readFileSync(partial);
    thinLocaleData(binary, keepsLocaleData);
    writeFileSync(partial, binary, { mode: 0o755 });
    const check =
      'process.stdout.write(new Intl.DateTimeFormat("en", { timeZone: "Asia/Tokyo", timeStyle: "long" }).format(0))';
    const told = await run([partial, "-e", check], {
      remedy: "Node's locale data was thinned wrongly; see rootfs/icu.ts",
    });
    if (!told.toString().includes("GMT+9"))
      throw new AgentError("INTERNAL", `the thinned Node formats a time as ${told}`);
    renameSync(partial, small);
  }
  return readFileSync(small);
}
