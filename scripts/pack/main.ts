/**
 * Makes the npm packages, the same bytes each time: `lcow-gcs-VERSION.tgz`, what it is made of in CycloneDX's form beside
 * it, and SHA256SUMS.
 * npm run pack -- [--out DIRECTORY] [--image]
 *   --out    where to write; default out/package
 *   --image  also the package with the image that `npm run image` has built, for machines like this one
 */
import { createHash } from "node:crypto";
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { scripts } from "../../src/cli/completion/scripts.ts";
import { renderManual } from "../../src/cli/manual.ts";
import { describeError } from "../../src/common/errors.ts";
import { runHelper } from "../../src/common/helper.ts";
import { billOfMaterials } from "./bill-of-materials.ts";
import { rewriteDeclarations } from "./declarations.ts";
import { packagedGyp } from "./gyp.ts";
import { stageImage } from "./image-package.ts";
import { manifestOf, type PackageManifest } from "./manifest.ts";
import { compilePrebuilds } from "./prebuilds.ts";

const root = resolve(import.meta.dirname, "../..");
const say = (text: string) => process.stderr.write(`pack: ${text}\n`);
/** Named as each shell looks for them. */
const COMPLETIONS = { bash: "lcow", zsh: "_lcow", fish: "lcow.fish" } as const satisfies Record<
  keyof typeof scripts,
  string
>;
/** A whole compilation, on a slow machine. */
const DEADLINE_MS = 300_000;

async function stagePackage(stage: string, manifest: PackageManifest): Promise<void> {
  say("compiling");
  const tsc = join(root, "node_modules/.bin/tsc");
  const dist = join(stage, "dist");
  await runHelper(process.execPath, [tsc, "-p", join(root, "tsconfig.package.json"), "--outDir", dist], {
    deadlineMs: DEADLINE_MS,
    cwd: root,
  });
  rewriteDeclarations(dist);
  for (const file of ["README.md", "CHANGELOG.md", "LICENSE", "docs"]) {
    cpSync(join(root, file), join(stage, file), {
      recursive: true,
      filter: (path) => !path.endsWith("/docs/api"),
    });
  }
  mkdirSync(join(stage, "man"));
  writeFileSync(join(stage, "man/lcow.1"), await renderManual());
  mkdirSync(join(stage, "completions"));
  for (const [shell, file] of Object.entries(COMPLETIONS)) {
    writeFileSync(join(stage, "completions", file), scripts[shell as keyof typeof COMPLETIONS]);
  }
  cpSync(join(import.meta.dirname, "bin"), join(stage, "bin"), { recursive: true });
  for (const name of ["lcow.cjs", "gcs.cjs"]) chmodSync(join(stage, "bin", name), 0o755);
  cpSync(join(root, "native/hvsock/src"), join(stage, "native/hvsock/src"), { recursive: true });
  writeFileSync(
    join(stage, "native/hvsock/binding.gyp"),
    packagedGyp(join(root, "native/hvsock/binding.gyp")),
  );
  say("compiling the addon for x64 and arm64");
  for (const [platform, file] of Object.entries(await compilePrebuilds(root, say))) {
    const directory = join(stage, "native/hvsock/prebuilds", platform);
    mkdirSync(directory, { recursive: true });
    cpSync(file, join(directory, "hvsock.node"));
  }
  await packSources(join(stage, "image-sources.tgz"));
  writeJson(join(stage, "package.json"), manifest);
}

/** What `lcow image` of the package builds the image of. */
async function packSources(file: string): Promise<void> {
  const parts = [
    "bin",
    "src",
    "rootfs",
    "native",
    "package.json",
    "package-lock.json",
    ".npmrc",
    "tsconfig.json",
  ];
  const plain = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--mode=go-w"];
  const made = ["--exclude=native/*/build", "--exclude=native/*/out", "--exclude=.build-lock"];
  // gzip would write the time into its head.
  await runHelper("tar", [
    "-C",
    root,
    "-cf",
    file,
    "--use-compress-program=gzip -9n",
    ...plain,
    ...made,
    ...parts,
  ]);
}

function writeJson(file: string, value: unknown): void {
  writeFileSync(file, `${JSON.stringify(value, undefined, 2)}\n`);
}

/** npm gives each file one and the same time, and its own mode: the same bytes for the same files. */
async function pack(stage: string, out: string): Promise<string> {
  const { stdout } = await runHelper(
    "npm",
    ["pack", "--ignore-scripts", "--loglevel=error", "--pack-destination", out],
    {
      cwd: stage,
      deadlineMs: DEADLINE_MS,
    },
  );
  return join(out, stdout.trim().split("\n").at(-1) ?? "");
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      out: { type: "string", default: join(root, "out/package") },
      image: { type: "boolean", default: false },
    },
  });
  const out = resolve(values.out);
  rmSync(out, { recursive: true, force: true });
  const stage = join(out, "stage");
  mkdirSync(stage, { recursive: true });
  try {
    const manifest = manifestOf(root);
    const files: string[] = [];
    await stagePackage(join(stage, "package"), manifest);
    files.push(await pack(join(stage, "package"), out));
    const bill = join(out, `${manifest.name}-${manifest.version}.cdx.json`);
    writeFileSync(bill, billOfMaterials(root, manifest));
    files.push(bill);
    if (values.image) {
      await stageImage(root, join(stage, "image"), manifest, say);
      say("packing the image");
      files.push(await pack(join(stage, "image"), out));
    }
    const sums = files.map((file) => {
      const hash = createHash("sha256").update(readFileSync(file)).digest("hex");
      return `${hash}  ${basename(file)}\n`;
    });
    writeFileSync(join(out, "SHA256SUMS"), sums.join(""));
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
  for (const file of readdirSync(out)) process.stdout.write(`${join(out, file)}\n`);
}

try {
  await main();
} catch (error) {
  say(describeError(error));
  process.exitCode = 1;
}
