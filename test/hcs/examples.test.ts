import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { test } from "tap";

const examples = new URL("../../examples/", import.meta.url).pathname;
const TIMEOUT_MS = 120_000;

for (const name of ["compute-system", "version-1"]) {
  test(`the example ${name} does what it says`, async (t) => {
    const file = `${examples}${name}.ts`;
    const { stdout } = await promisify(execFile)(process.execPath, [file], { timeout: TIMEOUT_MS });
    t.match(stdout, "memory: used");
    t.match(stdout, "exec: Linux 7");
    t.match(stdout, /typed while example was paused\r?\n/);
    t.ok(readFileSync(file, "utf8").split("\n").length < 40, "it stays short");
  });
}
