// Starts the agent: its bundle, with the code that V8 compiled of it when the image was built. Without that code, or
// with another V8's, it is compiled now, which takes a few milliseconds more.
"use strict";
const { existsSync, readFileSync } = require("node:fs");
const { Script } = require("node:vm");

const file = `${__dirname}/gcs.cjs`;
const cache = `${__dirname}/gcs.cache`;
const script = new Script(readFileSync(file, "latin1"), {
  filename: file,
  cachedData: existsSync(cache) ? readFileSync(cache) : undefined,
});
script.runInThisContext()(require, file, __dirname);
