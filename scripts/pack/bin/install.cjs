// Run by npm at the installation: builds the addon where none of those in the package fits the machine. Without it the
// package can be imported, and its first use says what is missing.
"use strict";
const { spawnSync } = require("node:child_process");
const { constants } = require("node:os");
const { join } = require("node:path");

const addon = join(__dirname, "../native/hvsock");

function loads(file) {
  try {
    process.dlopen({ exports: {} }, file, constants.dlopen.RTLD_NOW);
    return true;
  } catch {
    return false;
  }
}

const built = [`prebuilds/${process.platform}-${process.arch}`, "build/Release"];
if (process.platform === "linux" && !built.some((directory) => loads(join(addon, directory, "hvsock.node")))) {
  console.error(`lcow-gcs: no addon in the package fits this machine (${process.arch}); building it, with node-gyp`);
  const gyp = process.env.npm_config_node_gyp;
  const [command, ...words] = gyp === undefined ? ["node-gyp"] : [process.execPath, gyp];
  const { status, error } = spawnSync(command, [...words, "rebuild", "-C", addon], { stdio: "inherit" });
  if (status !== 0) {
    const why = error === undefined ? "see above" : error.message;
    console.error(
      `lcow-gcs: the addon could not be built (${why}); it takes python3, make and a C++ compiler (Debian: apt-get install python3 make g++). ` +
        "To install without it, which leaves the types and the protocol: npm install --ignore-scripts",
    );
    process.exit(1);
  }
}
