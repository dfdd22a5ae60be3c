import {
  cpSync,
  existsSync,
  globSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { architectures, defaultSuite } from "../../rootfs/image.ts";
import type { Manifest } from "../../rootfs/manifest.ts";
import { type PackageOptions, unpackPackages } from "../../rootfs/packages.ts";
import { AgentError } from "../../src/common/errors.ts";
import { lockedPackages } from "./locked-packages.ts";
import type { PackageManifest } from "./manifest.ts";

/** What a machine boots from; the disk and the packed kernel are for other hosts. */
const FILES = ["vmlinux", "initrd.img", "image.json"];

const RULE = "=".repeat(100);

/**
 * Lays out the package with the built image, for machines of this architecture.
 * @throws AgentError INVALID_STATE when no image was built, or the licence of something in it is not there
 */
export async function stageImage(
  root: string,
  stage: string,
  manifest: PackageManifest,
  say: (text: string) => void,
): Promise<void> {
  const out = join(root, "out");
  mkdirSync(stage, { recursive: true });
  for (const file of FILES) {
    if (!existsSync(join(out, file)))
      throw new AgentError("INVALID_STATE", `${join(out, file)} is not there; first run: npm run image`);
    cpSync(join(out, file), join(stage, file));
  }
  const architecture = process.arch;
  writeFileSync(join(stage, "LICENSES.txt"), await licenses(root, manifest, say));
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
async function licenses(
  root: string,
  manifest: PackageManifest,
  say: (text: string) => void,
): Promise<string> {
  const image = JSON.parse(readFileSync(join(root, "out/image.json"), "utf8")) as Manifest;
  const cache = join(root, "out/cache");
  const debian = [
    ...(await termsOf(image.packages, { cache, suite: defaultSuite, refresh: false, say })),
    ...(await termsOf(image.runtimes.packages, { cache, suite: image.runtimes.suite, refresh: false, say })),
  ];
  const node = architectures[process.arch === "arm64" ? "arm64" : "x64"].nodePackage;
  const npm = lockedPackages(root, [node, ...Object.keys(manifest.dependencies)]).flatMap(
    ({ name, version, license, path }) => {
      if (!existsSync(join(root, path))) return [];
      const [file] = globSync(join(root, path, "{LICENSE,LICENCE,license}*"));
      const text = file === undefined ? `${license ?? "no licence told"}\n` : readFileSync(file, "utf8");
      return [{ title: `npm's package ${name} ${version}`, text }];
    },
  );
  const own = {
    title: `${manifest.name} ${manifest.version}`,
    text: readFileSync(join(root, "LICENSE"), "utf8"),
  };
  return [own, ...npm, ...debian]
    .map(({ title, text }) => `${RULE}\n${title}\n${RULE}\n${text.trimEnd()}\n`)
    .join("\n");
}

interface Terms {
  readonly title: string;
  readonly text: string;
}

/** @throws AgentError INVALID_STATE naming a package that tells none */
async function termsOf(
  packages: Readonly<Record<string, string>>,
  options: PackageOptions,
): Promise<Terms[]> {
  const directories = new Map(
    Object.entries(packages).map(([name, version]) => {
      const encoded = version.replaceAll(":", "%3a");
      return [name, globSync(join(options.cache, `unpacked/${name}_${encoded}_*/usr/share/doc`))[0] ?? ""];
    }),
  );
  // A package may leave its terms to another of the same source: a link beside it, to one that is not in the image.
  const others = new Set(
    [...directories].flatMap(([name, directory]) => {
      const link = readLink(join(directory, name));
      return link === undefined || directories.has(link) ? [] : [link];
    }),
  );
  const more = others.size === 0 ? [] : await unpackPackages([...others].toSorted(), options, "terms");
  for (const { name, directory } of more) directories.set(name, join(directory, "usr/share/doc"));
  return Object.entries(packages).map(([name, version]) => {
    const whose = readLink(join(directories.get(name) ?? "", name)) ?? name;
    const file = join(directories.get(whose) ?? "", whose, "copyright");
    if (!existsSync(file))
      throw new AgentError("INVALID_STATE", `${name} ${version} tells no terms: ${file} is not there`);
    return { title: `Debian's package ${name} ${version}`, text: readFileSync(file, "utf8") };
  });
}

function readLink(path: string): string | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(path) : undefined;
}
