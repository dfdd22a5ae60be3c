import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import t, { type Test } from "tap";

const project = join(import.meta.dirname, "../..");

/** One harmless file in every room, so that only what a test adds is wrong. */
const sound: Readonly<Record<string, string>> = Object.fromEntries(
  [
    "common/errors",
    "gcs/main",
    "gcs/flags",
    "gcs/bridge/a",
    "gcs/uvm/a",
    "gcs/services/a",
    "cli/a",
    "runtime/a",
    "storage/a",
    "network/a",
    "stdio/a",
    "linux/a",
    "hcs/index",
    "hcs/v1/a",
    "hcs/serve/a",
    "hcs/compute/a",
    "hcs/uvm/a",
    "hcs/guest/a",
    "hcs/transport/a",
    "protocol/a",
    "../native/hvsock/a",
  ].map((name) => [join("src", `${name}.ts`), "export {};\n"]),
);

function check(t: Test, files: Readonly<Record<string, string>>) {
  const directory = t.testdir();
  for (const [name, text] of Object.entries(files)) {
    const path = join(directory, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  const script = join(project, "scripts/check-imports.ts");
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, directory], { encoding: "utf8" });
  return { status, stdout, problems: stderr };
}

t.test("a tree that keeps the rules passes, and what was read is counted", (t) => {
  const files = {
    ...sound,
    "src/gcs/main.ts": 'import "./bridge/a.ts";\nawait import("../hcs/index.ts");\n',
    "src/gcs/uvm/a.ts": 'export type { A } from "../../protocol/a.ts";\nimport "../../linux/a.ts";\n',
    "src/protocol/a.ts":
      '// import "../gcs/main.ts"\nconst text = \'import "../gcs/main.ts"\';\nimport "../common/errors.ts";\n',
    "test/a.test.ts": 'import "../src/gcs/uvm/a.ts";\n',
  };
  const { status, stdout, problems } = check(t, files);
  t.equal(problems, "");
  t.equal(status, 0);
  t.equal(stdout, "check-imports: 22 files, 6 imports, 0 problems\n");
  t.end();
});

t.test("an import across the rules is named with its line, whatever its form", (t) => {
  for (const text of [
    'import { b } from "../../gcs/uvm/a.ts";',
    'import type { b } from "../../gcs/uvm/a.ts";',
    'import "../../gcs/uvm/a.ts";',
    'export * from "../../gcs/uvm/a.ts";',
    'export { b } from "../../gcs/uvm/a.ts";',
    'const b = await import("../../gcs/uvm/a.ts");',
  ]) {
    const { status, problems } = check(t, { ...sound, "src/hcs/guest/a.ts": `\n\n${text}\n` });
    t.match(
      problems,
      "src/hcs/guest/a.ts:3 imports src/gcs/uvm/a.ts: src/hcs/guest/ may import src/hcs/transport/",
      text,
    );
    t.equal(status, 1);
  }
  t.end();
});

t.test("the host side's rooms, the leaves and the addon import nothing above them", (t) => {
  const upwards: Readonly<Record<string, string>> = {
    "src/hcs/transport/a.ts": "../guest/a.ts",
    "src/hcs/guest/a.ts": "../uvm/a.ts",
    "src/hcs/uvm/a.ts": "../compute/a.ts",
    "src/hcs/compute/a.ts": "../serve/a.ts",
    "src/gcs/uvm/a.ts": "../bridge/a.ts",
    "src/common/errors.ts": "../linux/a.ts",
    "native/hvsock/a.ts": "../../src/linux/a.ts",
  };
  for (const [from, to] of Object.entries(upwards)) {
    const { problems } = check(t, { ...sound, [from]: `import type { b } from "${to}";\n` });
    t.match(problems, new RegExp(`^${from}:1 imports ${join(dirname(from), to)}: `));
  }
  t.end();
});

t.test("where only types may be imported, a value is refused", (t) => {
  const { problems } = check(t, {
    ...sound,
    "src/gcs/uvm/a.ts": 'import { b } from "../../protocol/a.ts";\n',
  });
  t.match(problems, "may import only types from src/protocol/");
  t.end();
});

t.test("circles are found, also among tests, and through types within src and rootfs", (t) => {
  const circle = (dir: string, keyword: string) => ({
    [`${dir}/one.ts`]: `${keyword} { b } from "./two.ts";\n`,
    [`${dir}/two.ts`]: `${keyword} { b } from "./one.ts";\n`,
  });
  t.match(
    check(t, { ...sound, ...circle("src/linux", "import") }).problems,
    /load each other in a circle: .*one.*two.*one/,
  );
  t.match(check(t, { ...sound, ...circle("test", "import") }).problems, "load each other in a circle");
  t.match(check(t, { ...sound, ...circle("src/linux", "import type") }).problems, "types included");
  t.match(check(t, { ...sound, ...circle("rootfs", "import type") }).problems, "types included");
  t.equal(check(t, { ...sound, ...circle("test", "import type") }).problems, "");
  t.end();
});

t.test("files without a room, missing files, rules without files and an empty tree fail", (t) => {
  t.match(check(t, { ...sound, "src/attic/a.ts": "export {};\n" }).problems, "src/attic/a.ts is in no room");
  t.match(check(t, { ...sound, "src/hcs/v1/a.ts": 'import "./gone.ts";\n' }).problems, "no such file");
  const { "src/storage/a.ts": _gone, ...others } = sound;
  t.match(check(t, others).problems, "no file is in the room src/storage/");
  const empty = check(t, {});
  t.match(empty.problems, "no .ts file found");
  t.equal(empty.status, 1);
  t.end();
});
