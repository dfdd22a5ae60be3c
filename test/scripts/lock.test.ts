/** What npm installs is what was locked: every package of every lock file has a hash that npm checks. */
import { spawnSync } from "node:child_process";
import { chmodSync, globSync, readFileSync } from "node:fs";
import path from "node:path";
import { type Test, test } from "tap";

const root = path.resolve(import.meta.dirname, "../..");
const locks = globSync("**/package-lock.json", {
  cwd: root,
  exclude: (name) => /node_modules|^out$|^\.tap$/.test(name),
});

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly integrity?: string; readonly link?: boolean; readonly bundled?: boolean }>
  >;
}

test("every entry of a lock file has its integrity", (t) => {
  t.ok(locks.includes("package-lock.json"));
  for (const file of locks) {
    const { packages } = JSON.parse(readFileSync(path.join(root, file), "utf8")) as Lock;
    const installed = Object.entries(packages).filter(([where]) => where !== "");
    t.ok(installed.length > 10, `${file} has packages`);
    const bad = installed.filter(([, { integrity = "" }]) => !/^sha512-[\w+/]{86}==$/.test(integrity));
    t.same(
      bad.map(([where]) => where),
      [],
      file,
    );
  }
  t.end();
});

/** Completes a lock file that lacks two packages, with an npm whose registry has these. @returns how, and the file */
function complete(t: Test, known: readonly string[]) {
  const directory = t.testdir({
    "lock.json": JSON.stringify({
      packages: {
        "": {},
        "node_modules/tool": {
          version: "1.2.3",
          integrity: "sha512-tool",
          optionalDependencies: { "@tool/linux-x64": "1.2.3", "@tool/darwin-arm64": "^1.2.3" },
        },
      },
    }),
    npm: `#!/bin/sh
      for name in ${known.map((name) => `'${name}@1.2.3'`).join(" ")}; do
        [ "$1 $2 $3" != "view $name dist.integrity" ] || { echo "sha512-of-$name"; exit 0; }
      done
      echo 'npm error code E404' >&2; exit 1\n`,
  });
  chmodSync(path.join(directory, "npm"), 0o755);
  const file = path.join(directory, "lock.json");
  const before = readFileSync(file, "utf8");
  const script = path.join(root, "scripts/complete-lock.ts");
  const { status, stderr } = spawnSync(path.join(root, "bin/node-pinned"), [script, file], {
    encoding: "utf8",
    env: { ...process.env, PATH: `${directory}:${process.env.PATH}` },
  });
  return { status, stderr, before, after: readFileSync(file, "utf8") };
}

test("what is added to the lock file has its integrity", (t) => {
  const { status, stderr, after } = complete(t, ["@tool/linux-x64", "@tool/darwin-arm64"]);
  t.equal(status, 0, stderr);
  const { packages } = JSON.parse(after) as Lock;
  t.match(packages["node_modules/@tool/linux-x64"], {
    version: "1.2.3",
    integrity: "sha512-of-@tool/linux-x64@1.2.3",
    os: ["linux"],
  });
  t.match(packages["node_modules/@tool/darwin-arm64"], { integrity: "sha512-of-@tool/darwin-arm64@1.2.3" });
  t.end();
});

test("nothing is added where npm cannot tell the integrity of all", (t) => {
  const { status, stderr, before, after } = complete(t, ["@tool/linux-x64"]);
  t.match(
    { status, stderr },
    { status: 1, stderr: /no hash of @tool\/darwin-arm64@1\.2\.3; nothing was written/ },
  );
  t.equal(after, before);
  t.end();
});
