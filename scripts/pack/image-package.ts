import { cpSync, existsSync, globSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { architectures } from "../../rootfs/image.ts";
import type { Manifest } from "../../rootfs/manifest.ts";
import { AgentError } from "../../src/common/errors.ts";
import { lockedPackages } from "./locked-packages.ts";
import type { PackageManifest } from "./manifest.ts";

/** What a machine boots from; the disk and the packed kernel are for other hosts. */
const FILES = ["vmlinux", "initrd.img", "image.json"];

/**
 * Lays out the package with the built image, for machines of this architecture.
 * @throws AgentError INVALID_STATE when no image was built, or the licence of something in it is not there
 */
export function stageImage(root: string, stage: string, manifest: PackageManifest): void {
  const out = join(root, "out");
  mkdirSync(stage, { recursive: true });
  for (const file of FILES) {
    if (!existsSync(join(out, file)))
      throw new AgentError("INVALID_STATE", `${join(out, file)} is not there; first run: npm run image`);
    cpSync(join(out, file), join(stage, file));
  }
  const architecture = process.arch;
  writeFileSync(join(stage, "LICENSES.txt"), licenses(root, manifest));
  writeFileSync(
    join(stage, "README.md"),
    `# The image of lcow-gcs for ${architecture}\n\nThe kernel and the initrd that lcow-gcs ${manifest.version} boots its virtual machines from. Nothing to import: lcow-gcs finds\nit. LICENSES.txt has what it is made of and under which terms; the sources of Debian's packages are in Debian's archive.\n`,
  );
  const { version } = manifest;
  const description = `The image that lcow-gcs boots its virtual machines from, for ${architecture}.`;
  const own = {
    name: `${manifest.name}-image-${architecture}`,
    version,
    description,
    license: "SEE LICENSE IN LICENSES.txt",
    cpu: [architecture],
    files: [...FILES, "LICENSES.txt"],
  };
  writeFileSync(join(stage, "package.json"), `${JSON.stringify(own, undefined, 2)}\n`);
}

/** All that is in the image, with the terms of each: Debian's packages, Node, npm's packages in the agent, and this. */
function licenses(root: string, manifest: PackageManifest): string {
  const image = JSON.parse(readFileSync(join(root, "out/image.json"), "utf8")) as Manifest;
  const packages = [...Object.entries(image.packages), ...Object.entries(image.runtimes.packages)];
  const debian = packages.map(([name, version]) => {
    const pattern = join(
      root,
      `out/cache/unpacked/${name}_${version.replaceAll(":", "%3a")}_*/usr/share/doc/${name}/copyright`,
    );
    const [file] = globSync(pattern);
    if (file === undefined)
      throw new AgentError("INVALID_STATE", `the package ${name} ${version} tells no terms in ${pattern}`);
    return { title: `Debian's package ${name} ${version}`, text: readFileSync(file, "utf8") };
  });
  const node = architectures[process.arch === "arm64" ? "arm64" : "x64"].nodePackage;
  const npm = lockedPackages(root, [node, ...Object.keys(manifest.dependencies)]).flatMap(
    ({ name, version, license, path }) => {
      const [file] = globSync(join(root, path, "{LICENSE,LICENCE,license}*"));
      const text =
        file === undefined ? `${license ?? "no licence told"}\n` : readFileSync(realpathSync(file), "utf8");
      return existsSync(join(root, path)) ? [{ title: `npm's package ${name} ${version}`, text }] : [];
    },
  );
  const own = {
    title: `${manifest.name} ${manifest.version}`,
    text: readFileSync(join(root, "LICENSE"), "utf8"),
  };
  return [own, ...npm, ...debian]
    .map(({ title, text }) => `${"=".repeat(100)}\n${title}\n${"=".repeat(100)}\n${text.trimEnd()}\n`)
    .join("\n");
}
