// Compiles a bundle and writes V8's code for it: code-cache.cjs BUNDLE CACHE
// To be run by the very Node that will run the bundle, with --random-seed=1, so that it always writes the same bytes.
"use strict";
const { readFileSync, writeFileSync } = require("node:fs");
const { Script } = require("node:vm");

const [, , file, cache] = process.argv;
writeFileSync(cache, new Script(readFileSync(file, "latin1"), { filename: "gcs.cjs" }).createCachedData());
