/** An empty project of somebody else's, in which the package is installed, with nothing of this checkout around it. */
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { downloaded } from "./downloads.ts";

export const root = new URL("../../", import.meta.url).pathname.replace(/\/$/, "");

/** How npm was told to reach its registry here; it would not find that out with another home. */
const settings = (() => {
  const config = (name: string) => execFileSync("npm", ["config", "get", name], { encoding: "utf8" }).trim();
  return { npm_config_userconfig: config("userconfig"), npm_config_globalconfig: config("globalconfig") };
})();

export interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class Installation {
  readonly directory: string;
  readonly home: string;
  readonly environment: NodeJS.ProcessEnv;
  readonly #manager: readonly string[];

  /** @param node the program, whose directory comes first in PATH */
  constructor(directory: string, node: string, manager: "npm" | "pnpm" = "npm") {
    this.directory = directory;
    this.home = join(directory, "..", `${directory.split("/").at(-1)}-home`);
    for (const path of [directory, this.home]) mkdirSync(path, { recursive: true });
    const { NODE_COMPILE_CACHE: _, XDG_CACHE_HOME: __, ...environment } = process.env;
    this.environment = {
      ...environment,
      ...settings,
      HOME: this.home,
      PATH: `${join(node, "..")}:${process.env.PATH}`,
      npm_config_cache: join(root, "out/cache/npm-cache"),
      npm_config_ignore_scripts: "false",
    };
    this.#manager = manager === "npm" ? ["npm"] : [node, join(downloaded("pnpm@10.34.8"), "bin/pnpm.cjs")];
    writeFileSync(
      join(directory, "package.json"),
      JSON.stringify({ name: "consumer", private: true, type: "module" }),
    );
  }

  /** The package manager. @throws Error with its output when it fails */
  manage(...words: string[]): string {
    const [program = "", ...before] = this.#manager;
    const { status, stdout, stderr } = this.run(program, ...before, ...words);
    if (status !== 0) throw new Error(`${words.join(" ")}: status ${status}\n${stdout}\n${stderr}`);
    return stdout + stderr;
  }

  run(program: string, ...words: string[]): Result {
    return spawnSync(program, words, {
      cwd: this.directory,
      env: this.environment,
      encoding: "utf8",
      timeout: 240_000,
    });
  }

  copy(...files: string[]): void {
    for (const file of files) cpSync(join(import.meta.dirname, file), join(this.directory, file));
  }
}
