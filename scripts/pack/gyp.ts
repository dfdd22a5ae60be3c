import { readFileSync } from "node:fs";

const HEADERS = `<!(node -p "require('node-addon-api').include_dir")`;

/**
 * The addon's build file for the package: the headers are wherever npm has put them, and a warning of a compiler that
 * nobody here has seen is no reason to go without.
 */
export function packagedGyp(file: string): string {
  const gyp = JSON.parse(
    readFileSync(file, "utf8")
      .split("\n")
      .filter((line) => !/^\s*#/.test(line))
      .join("\n"),
  ) as { targets: [{ include_dirs: string[]; cflags: string[]; cflags_cc: string[] }] };
  const [target] = gyp.targets;
  target.include_dirs = [HEADERS];
  target.cflags = [];
  target.cflags_cc = target.cflags_cc.filter((flag) => flag !== "-Werror");
  return `${JSON.stringify(gyp, undefined, 2)}\n`;
}
