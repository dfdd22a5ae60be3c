import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import tap, { test } from "tap";

// Compiling, beside other tests.
tap.setTimeout(120_000);

const root = path.resolve(import.meta.dirname, "../..");
const node = path.join(root, "bin/node-pinned");
const read = (file: string) => JSON.parse(readFileSync(file, "utf8"));

/** The checkout as somebody copies it, with what its setup has made. Packages are linked: tests leave them alone. */
function copyOfCheckout(directory: string): string {
  const copy = path.join(directory, "copy");
  mkdirSync(copy);
  const files = ["bin", "scripts", "package.json", "package-lock.json", ".npmrc", ".taprc", "native"];
  execFileSync("cp", ["-a", ...files.map((file) => path.join(root, file)), copy]);
  mkdirSync(path.join(copy, ".tap"));
  for (const made of ["plugins", ".lcow-gcs-setup"])
    execFileSync("cp", ["-a", path.join(root, ".tap", made), path.join(copy, ".tap")]);
  execFileSync("cp", ["-al", path.join(root, "node_modules"), copy]);
  // tap writes here.
  const tapjs = path.join(copy, "node_modules/@tapjs");
  rmSync(tapjs, { recursive: true });
  execFileSync("cp", ["-a", path.join(root, "node_modules/@tapjs"), tapjs]);
  return copy;
}

/** Absolute links below a directory that lead out of the checkout. */
function strayLinks(checkout: string, below: string): string[] {
  const links = execFileSync("find", [
    path.join(checkout, below),
    "-type",
    "l",
    "-printf",
    "%l\n",
  ]).toString();
  return links.split("\n").filter((link) => link.startsWith("/") && !link.startsWith(`${checkout}/`));
}

function setup(checkout: string, env: NodeJS.ProcessEnv = {}) {
  return spawnSync("bash", ["scripts/setup"], {
    cwd: checkout,
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
}

test("a copied checkout, and one that is moved, is made to work by setup; then setup has nothing to do", (t) => {
  const copy = copyOfCheckout(t.testdir());
  t.not(strayLinks(copy, ".tap").length, 0, "what tap makes points into the original");
  for (const checkout of [copy, `${copy}-moved`]) {
    if (checkout !== copy) renameSync(copy, checkout);
    t.match(setup(checkout), { status: 0, stderr: /^setup: building tap's test class\n/ });
    t.same(strayLinks(checkout, ".tap"), []);
    writeFileSync(
      path.join(checkout, "a.test.ts"),
      'import { test } from "tap";\ntest("a", async (t) => t.ok(true));\n',
    );
    const { TAP_CHILD_ID: _, ...env } = process.env;
    const told = execFileSync("bin/node-pinned", ["a.test.ts"], { cwd: checkout, encoding: "utf8", env });
    t.match(told, /^ok 1 - a/m);
    t.same(setup(checkout).stderr, "");
  }
  t.end();
});

test("an addon is built again after a move, and where another machine's does not load", (t) => {
  const copy = copyOfCheckout(t.testdir());
  const addon = "native/hvsock/build/Release/hvsock.node";
  // A small one in its place, or this would take a minute.
  const says = (checkout: string, word: string) =>
    writeFileSync(
      path.join(checkout, "native/hvsock/src/small.cc"),
      `#include <node_api.h>\nNAPI_MODULE_INIT() { napi_create_string_utf8(env, "${word}", 5, &exports); return exports; }\n`,
    );
  const load = (checkout: string) =>
    execFileSync(node, ["-p", `require(${JSON.stringify(path.join(checkout, addon))})`], {
      encoding: "utf8",
    });
  rmSync(path.join(copy, "native/hvsock/build"), { recursive: true });
  const target = { target_name: "hvsock", sources: ["src/small.cc"] };
  writeFileSync(path.join(copy, "native/hvsock/binding.gyp"), JSON.stringify({ targets: [target] }));
  says(copy, "first");
  t.match(setup(copy), { status: 0, stderr: /setup: building native\/hvsock\n$/ });
  t.equal(load(copy), "first\n");

  const moved = `${copy}-moved`;
  renameSync(copy, moved);
  says(moved, "moved");
  t.match(setup(moved), { status: 0, stderr: /setup: building native\/hvsock\n$/ });
  t.equal(load(moved), "moved\n");

  // Whatever keeps it from loading: a newer C library there, or another kind of processor.
  rmSync(path.join(moved, addon));
  writeFileSync(path.join(moved, addon), "another machine's");
  t.match(setup(moved), { status: 0, stderr: "setup: building native/hvsock\n" });
  t.equal(load(moved), "moved\n");
  t.end();
});

test("packages that npm left out are named, with npm and Node and what to do", (t) => {
  const copy = copyOfCheckout(t.testdir({ bin: { npm: '#!/bin/sh\necho "npm $*" >>"$NPM_LOG"\n' } }));
  const bin = path.join(path.dirname(copy), "bin");
  chmodSync(path.join(bin, "npm"), 0o755);
  const binding = readdirSync(path.join(copy, "node_modules/@oxc-parser")).find((name) =>
    name.startsWith("binding-"),
  );
  rmSync(path.join(copy, "node_modules/@oxc-parser", binding ?? ""), { recursive: true });
  const log = path.join(bin, "log");
  const { status, stderr } = setup(copy, { PATH: `${bin}:${process.env.PATH}`, NPM_LOG: log });
  t.equal(status, 1);
  t.match(stderr, new RegExp(`on Node v\\S*, left out .*: @oxc-parser/${binding}@\\d`));
  t.match(stderr, /complete-lock\.ts/);
  t.match(readFileSync(log, "utf8"), /^npm ci/, "after it has tried");
  t.end();
});

test("what is missing is told by name: absent, cut short, or of another version; not what is for others", (t) => {
  const entry = { version: "1.0.0" };
  const foreign = { ...entry, optional: true, os: ["sunos"], cpu: ["x64"] };
  const packages = {
    "": {},
    "node_modules/here": entry,
    "node_modules/absent": entry,
    "node_modules/old": entry,
    "node_modules/cut": entry,
    "node_modules/here/node_modules/@scope/inner": entry,
    "node_modules/sunos": foreign,
    "node_modules/musl": { ...entry, optional: true, os: ["linux"], libc: "musl" },
    "node_modules/not-linux": { ...entry, optional: true, os: ["!linux"] },
    "node_modules/ours": { ...entry, optional: true, os: ["linux"], cpu: [process.arch], libc: ["glibc"] },
    "node_modules/of-sunos": { ...entry, optional: true },
  };
  const directory = t.testdir({
    "package-lock.json": JSON.stringify({ packages }),
    node_modules: {
      here: { "package.json": JSON.stringify(entry) },
      old: { "package.json": JSON.stringify({ version: "0.9.0" }) },
      cut: { "package.json": '{"vers' },
    },
  });
  const told = execFileSync(node, [path.join(root, "scripts/missing-packages.ts"), directory], {
    encoding: "utf8",
  });
  const names = ["@scope/inner", "absent", "cut", "old", "ours"];
  t.same(
    told.trim().split("\n").sort(),
    names.map((name) => `${name}@1.0.0`),
  );
  t.end();
});

test("the lock file holds no platform's package to the Node that runs npm", (t) => {
  const bound = (lock: {
    packages: Record<string, { optional?: boolean; os?: string[]; engines?: unknown }>;
  }) => Object.entries(lock.packages).filter(([, { optional, os, engines }]) => optional && os && engines);
  t.same(bound(read(path.join(root, "package-lock.json"))), []);
  const lock = read(path.join(root, "package-lock.json"));
  const [name = ""] = Object.keys(lock.packages).filter((where) => where.includes("/@oxc-parser/binding-"));
  lock.packages[name].engines = { node: ">=22" };
  const file = path.join(t.testdir(), "lock.json");
  writeFileSync(file, JSON.stringify(lock));
  execFileSync(node, [path.join(root, "scripts/complete-lock.ts"), file]);
  t.same(read(file), read(path.join(root, "package-lock.json")));
  t.end();
});
