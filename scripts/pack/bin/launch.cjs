// Starts a program of this package in the Node that runs this file: once more, with what that has to be told at its
// start. Any Node can read this, so that one that is too old is told in a line.
"use strict";
const { existsSync, lstatSync, mkdirSync } = require("node:fs");
const { homedir } = require("node:os");
const { isAbsolute, join } = require("node:path");

/** process.execve came with it. */
const NEEDED = [22, 15];

exports.launch = (name, program, flags, environment) => {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
    const wanted = NEEDED.join(".");
    process.stderr.write(
      `${name}: this is Node ${process.versions.node}, and lcow-gcs needs ${wanted} or newer; install one, or run: npx --package=node@${NEEDED[0]} ${name}\n`,
    );
    process.exit(127);
  }
  if (process.platform !== "linux") {
    process.stderr.write(`${name}: it runs on Linux, and this is ${process.platform}; in WSL 2 it runs on Windows, too\n`);
    process.exit(127);
  }
  const file = join(__dirname, "../dist/src", program);
  if (!existsSync(file)) {
    process.stderr.write(`${name}: ${file} is missing; install the package lcow-gcs again\n`);
    process.exit(127);
  }
  // SIGUSR1 shall not open a debugger: dist/src/common/node-flags.js. Behind -- Node looks for no options of its own.
  const words = [process.execPath, "--disable-sigusr1", ...flags, "--", file, ...process.argv.slice(2)];
  process.execve(process.execPath, words, { ...process.env, ...compileCache(), ...environment });
};

/** What Node made of the files is kept, which is half of a start; only where nobody else can put anything. */
function compileCache() {
  // It would be made anew by the very command that removes it.
  if (process.argv[2] === "prune") return {};
  if (process.env.NODE_COMPILE_CACHE !== undefined || process.env.NODE_DISABLE_COMPILE_CACHE) return {};
  const { XDG_CACHE_HOME } = process.env;
  const parent = XDG_CACHE_HOME !== undefined && isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : join(homedir(), ".cache");
  const home = join(parent, "lcow-gcs");
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    const { uid, mode } = lstatSync(home);
    if (uid !== process.geteuid() || (mode & 0o077) !== 0) return {};
  } catch {
    // A start without it is slower, and no worse.
    return {};
  }
  return { NODE_COMPILE_CACHE: join(home, "compile") };
}
