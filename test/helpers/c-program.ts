import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";

const root = new URL("../../", import.meta.url).pathname;

/**
 * A program of test/helpers/programs, statically linked so that it runs in any root. Compiled when its source is newer.
 * @returns its path.
 */
export function compileProgram(name: string): string {
  const source = join(root, "test/helpers/programs", `${name}.c`);
  const directory = join(root, "out/test-programs");
  const program = join(directory, name);
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return program;
  mkdirSync(directory, { recursive: true });
  // Tests run at once: each compiles its own, and the last one stays.
  const made = mkdtempSync(join(directory, ".making-"));
  try {
    execFileSync("gcc", ["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", join(made, name), source]);
    renameSync(join(made, name), program);
  } finally {
    rmSync(made, { recursive: true });
  }
  return program;
}
