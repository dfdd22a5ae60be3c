import { existsSync, lstatSync, readFileSync, readlinkSync } from "node:fs";
import path from "node:path";
import { AgentError } from "../src/common/errors.ts";
import type { Bundle } from "./bundle.ts";
import type { Compiled } from "./compiled.ts";
import * as image from "./image.ts";
import { bootList, type KernelModules, modprobeTables } from "./kernel-modules.ts";
import { addLibraries } from "./libraries.ts";
import { findFile, type Unpacked } from "./packages.ts";
import { Tree } from "./tree.ts";

export interface Parts {
  readonly root: string;
  readonly architecture: image.Architecture;
  readonly unpacked: readonly Unpacked[];
  readonly kernel: { readonly release: string; readonly modules: KernelModules };
  readonly node: Buffer;
  readonly runtimes: Tree;
  readonly agent: Bundle & { readonly cache: Buffer };
  readonly compiled: Compiled;
  /** Names of busybox's applets. */
  readonly applets: readonly string[];
}

/** The root: the whole image. */
export function rootTree(parts: Parts): Tree {
  const tree = skeleton(parts.compiled);
  for (const pick of image.packages) addPackage(tree, pick, parts.unpacked);
  addApplets(tree, parts.applets);
  addAgent(tree, parts);
  const always = image.moduleGroups.flatMap(({ when, modules }) => (when === "boot" ? modules : []));
  const absent = parts.kernel.modules.absent([...always, ...image.firstStages.memory]);
  if (absent.length > 0)
    throw new AgentError(
      "NOT_SUPPORTED",
      `kernel ${parts.kernel.release} has no ${absent.join(", ")}, without which the image does not boot; correct rootfs/image.ts`,
    );
  const names = image.moduleGroups.flatMap((group) => group.modules);
  addModules(tree, parts, names);
  const base = `usr/lib/modules/${parts.kernel.release}`;
  const { dep, alias } = modprobeTables(parts.kernel.modules, names);
  tree.file(`${base}/modules.dep`, Buffer.from(dep), "kernel modules");
  tree.file(`${base}/modules.alias`, Buffer.from(alias), "kernel modules");
  tree.file(
    "etc/modules.list",
    Buffer.from(bootList(parts.kernel.modules, image.moduleGroups)),
    "kernel modules",
  );
  for (const [where, text] of Object.entries(image.files))
    tree.file(where, Buffer.from(text), "configuration");
  addLibraries(tree, parts.unpacked, image.architectures[parts.architecture].multiarch);
  // After the image's own libraries, which are not theirs.
  tree.add(parts.runtimes);
  return tree;
}

/** A small initramfs: /init and the modules to get at the root, on which it goes on. */
export function firstStageTree(parts: Parts, stage: keyof typeof image.firstStages): Tree {
  const tree = new Tree();
  for (const where of ["dev", "newroot", "proc", "sys", "usr/lib"]) tree.directory(where);
  tree.symlink("lib", "usr/lib");
  tree.character("dev/console", 0o600, 5, 1);
  addOwn(tree, parts.compiled, "init");
  const names: readonly string[] = image.firstStages[stage];
  // Under the same conditions as on the root, where any are named there.
  const groups = image.moduleGroups
    .filter((group) => group.when !== "demand")
    .map((group) => ({ ...group, modules: group.modules.filter((name) => names.includes(name)) }));
  const rest = names.filter((name) => !groups.some((group) => group.modules.includes(name)));
  const list = bootList(parts.kernel.modules, [...groups, { when: "boot", modules: rest }]);
  addModules(tree, parts, names);
  tree.file("etc/modules.list", Buffer.from(list), "kernel modules");
  return tree;
}

/** The full tree by the layers of initrd.img, the lowest first. */
export function layerTrees(full: Tree): { name: string; tree: Tree }[] {
  let rest = full;
  return image.layers.map(({ name, parts }) => {
    const tree = parts === undefined ? rest : rest.filter((part) => parts.includes(part));
    rest = rest.without(tree);
    return { name, tree };
  });
}

function skeleton(compiled: Compiled): Tree {
  const tree = new Tree();
  for (const where of image.directories) tree.directory(where);
  for (const [where, target] of Object.entries(image.symlinks)) tree.symlink(where, target);
  // The kernel opens it before /init can mount devtmpfs; null is for a root without devtmpfs.
  tree.character("dev/console", 0o600, 5, 1);
  tree.character("dev/null", 0o666, 1, 3);
  for (const name of Object.keys(image.ownPrograms) as (keyof typeof image.ownPrograms)[])
    addOwn(tree, compiled, name);
  return tree;
}

function addOwn(tree: Tree, compiled: Compiled, name: keyof typeof image.ownPrograms): void {
  tree.copy(image.ownPrograms[name], compiled.programs[name], "init and vsockexec");
}

export function addPackage(tree: Tree, pick: image.PackagePick, unpacked: readonly Unpacked[]): void {
  for (const file of pick.files) {
    const source = findFile(unpacked, pick.name, file);
    const where = file.startsWith("etc/") ? file : `usr/${file}`;
    if (lstatSync(source).isSymbolicLink()) tree.symlink(where, readlinkSync(source));
    else tree.file(where, readFileSync(source), pick.name, file.startsWith("etc/") ? 0o644 : 0o755);
  }
}

function addApplets(tree: Tree, applets: readonly string[]): void {
  const excluded = new Set([...image.excludedApplets, "busybox"]);
  for (const name of applets) {
    if (excluded.has(name) || tree.has(`usr/bin/${name}`) || tree.has(`usr/sbin/${name}`)) continue;
    tree.symlink(`usr/bin/${name}`, "busybox");
  }
}

function addAgent(tree: Tree, parts: Parts): void {
  const home = "usr/lib/gcs";
  tree.file("usr/bin/node", parts.node, "Node", 0o755);
  tree.copy(`${home}/start.cjs`, path.join(parts.root, "rootfs/start.cjs"), "agent");
  tree.file(`${home}/gcs.cjs`, parts.agent.code, "agent");
  tree.file(`${home}/gcs.cache`, parts.agent.cache, "agent");
  tree.file(`${home}/command`, Buffer.from(`${image.agentCommand.join("\n")}\n`), "agent");
  const platform = `linux-${parts.architecture}`;
  const koffi = `node_modules/@koromix/koffi-${platform}/${platform.replace("-", "_")}/koffi.node`;
  for (const [name, from] of Object.entries({ ...parts.compiled.addons, "koffi.node": koffi })) {
    const source = path.resolve(parts.root, from);
    if (!existsSync(source)) throw new AgentError("NOT_SUPPORTED", `${from} is missing; run npm run setup`);
    tree.copy(`${home}/${name}`, source, "agent");
  }
}

function addModules(tree: Tree, parts: Parts, names: readonly string[]): void {
  for (const module of parts.kernel.modules.inLoadOrder(names)) {
    tree.file(`usr/lib/modules/${parts.kernel.release}/${module.file}`, module.bytes, "kernel modules");
  }
}
