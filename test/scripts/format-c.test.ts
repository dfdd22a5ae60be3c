import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";

const project = join(import.meta.dirname, "../..");

/** Files in a directory that has the project's formats for C and C++. */
function directoryWith(t: Test, files: Readonly<Record<string, string>>): string {
  const directory = t.testdir();
  mkdirSync(join(directory, "native/hvsock"), { recursive: true });
  for (const name of [".clang-format", "native/hvsock/.clang-format"])
    copyFileSync(join(project, name), join(directory, name));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  return directory;
}

function formatC(directory: string, ...args: readonly string[]) {
  const script = join(project, "scripts/format-c");
  return spawnSync("bash", [script, ...args], { cwd: directory, encoding: "utf8" });
}

const files = {
  "a.c": "int main(void)\n{\n  char * text = 0;\n  return !text;\n}\n",
  "b.h": "#pragma once\n\nint sound(void);\n",
  "native/hvsock/c.cc": "char *Text() {\n    return nullptr;\n}\n",
};

t.test("what is not formatted is named with its line, fails, and is left alone", (t) => {
  const directory = directoryWith(t, files);
  const { status, stderr } = formatC(directory, "--check", ...Object.keys(files));
  t.equal(status, 1);
  t.match(stderr, /^a\.c:1:\d+: error: code should be clang-formatted/m);
  t.match(stderr, /^native\/hvsock\/c\.cc:1:\d+: error: /m);
  t.notMatch(stderr, /^b\.h:/m);
  t.match(stderr, "run scripts/format-c\n");
  t.equal(readFileSync(join(directory, "a.c"), "utf8"), files["a.c"]);
  t.end();
});

t.test("formatted it passes: C has four columns and `char *text`, C++ two and `char* text`", (t) => {
  const directory = directoryWith(t, files);
  t.equal(formatC(directory, ...Object.keys(files)).status, 0);
  t.equal(
    readFileSync(join(directory, "a.c"), "utf8"),
    "int main(void) {\n    char *text = 0;\n    return !text;\n}\n",
  );
  t.equal(readFileSync(join(directory, "native/hvsock/c.cc"), "utf8"), "char* Text() { return nullptr; }\n");
  const { status, stdout } = formatC(directory, "--check", ...Object.keys(files));
  t.equal(status, 0);
  t.equal(stdout, "Looked at 3 files\n");
  t.end();
});

t.test("a file that is not there fails", (t) => {
  const { status, stderr } = formatC(directoryWith(t, {}), "--check", "gone.c");
  t.equal(status, 1);
  t.match(stderr, "gone.c");
  t.end();
});
