import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "tap";
import { documentOf, table } from "../docs/markdown.ts";
import { project } from "./paths.ts";
import { TARGETS } from "./targets.ts";

const SHOWN = TARGETS.filter(({ isPlanted }) => isPlanted !== true);

function fuzz(...words: readonly string[]) {
  const main = join(project, "test/fuzz/main.ts");
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...words], {
    cwd: project,
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

test("no fuzzer finds anything in its kept inputs and a fixed number of new ones", (t) => {
  const { status, stdout, stderr } = fuzz("--quick");
  t.equal(status, 0, stdout + stderr);
  const lines = stdout.trimEnd().split("\n");
  t.same(
    lines.map((line) => line.split(/ +/)[0]),
    SHOWN.map(({ name }) => name),
    "a line each",
  );
  for (const [index, { runs }] of SHOWN.entries())
    t.ok(Number(lines[index]?.split(/ +/)[1]) >= runs, lines[index] ?? "");
  t.end();
});

test("what is found is told, kept in a file, and found in it again", (t) => {
  const words: Readonly<Record<string, RegExp>> = {
    planted: /there is an x/,
    "planted-death": /ended with signal SIGKILL/,
    "planted-rejection": /nobody looked: seven/,
    "planted-overflow": /stack-buffer-overflow/,
  };
  const names = TARGETS.filter(({ isPlanted }) => isPlanted === true).map(({ name }) => name);
  t.same(names, Object.keys(words));
  const { status, stdout } = fuzz("--quick", ...names);
  t.equal(status, 1);
  const files = [...stdout.matchAll(/again: npm run fuzz -- (\S+) --input (\S+)/g)];
  t.same(
    files.map(([, name]) => name),
    names,
  );
  for (const [, name = "", file = ""] of files) {
    const again = fuzz(name, "--input", file);
    t.equal(again.status, 1, name);
    t.match(again.stdout, words[name]);
    rmSync(join(project, file));
  }
  const kept = files.find(([, name]) => name === "planted")?.[2];
  t.match(stdout, /FINDING/);
  t.ok(kept?.startsWith("out/fuzz/planted/"));
  t.end();
});

test("what cannot be is refused by name", (t) => {
  t.match(fuzz("nonesuch"), { status: 2, stderr: /no fuzzer is named "nonesuch"; there are frames, / });
  t.match(fuzz("--seconds", "0"), { status: 2, stderr: /--seconds 0: not a whole number/ });
  t.match(fuzz("--input", "x"), { status: 2, stderr: /name it/ });
  t.end();
});

test("docs/reliability.md lists the fuzzers, and nothing is kept for one that is not there", (t) => {
  const rows = table(documentOf("docs/reliability.md"), "fuzzer", "what it tries");
  t.strictSame(
    rows,
    SHOWN.map(({ name, what }) => [name, what]),
  );
  const kept = readdirSync(join(project, "test/fuzz/corpus"));
  t.same(
    kept.filter((name) => !SHOWN.some((target) => target.name === name)),
    [],
  );
  t.end();
});
