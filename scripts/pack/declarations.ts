import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A module that is named in `from "./x.ts"` or `import("./x.ts")`: the compiler leaves those of declarations as they are. */
const SPECIFIER = /((?:\bfrom|\bimport)\s*\(?\s*)(["'])(\.{1,2}\/[^"']+)\.ts\2/g;

/** Names the built files in declarations, where the sources named sources. */
export function rewriteDeclarations(directory: string): void {
  for (const file of globSync("**/*.d.ts", { cwd: directory })) {
    const path = join(directory, file);
    const text = readFileSync(path, "utf8");
    const rewritten = text.replace(SPECIFIER, "$1$2$3.js$2");
    if (rewritten !== text) writeFileSync(path, rewritten);
  }
}
