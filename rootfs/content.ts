import { existsSync, lstatSync, readFileSync, readlinkSync } from "node:fs";
import path from "node:path";
import { AgentError } from "../src/errors.ts";
import type { Bundle } from "./bundle.ts";
import * as image from "./image.ts";
import { bootList, type KernelModules, modprobeTables } from "./kernel-modules.ts";
import { addLibraries } from "./libraries.ts";
import type { Unpacked } from "./packages.ts";
import { Tree } from "./tree.ts";

export interface Parts {
  readonly root: string;
  readonly architecture: image.Architecture;
  readonly unpacked: readonly Unpacked[];
  readonly kernel: { readonly release: string; readonly modules: KernelModules };
  readonly node: Buffer;
  readonly agent: Bundle & { readonly cache: Buffer };
  /** Names of busybox's applets. */
  readonly applets: readonly string[];
}

/** The root: the whole image. */
export function rootTree(parts: Parts): Tree {
  const tree = skeleton(parts.root);
  for (const pick of image.packages) addPackage(tree, pick, parts.unpacked);
  addApplets(tree, parts.applets);
  addAgent(tree, parts);
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
  return tree;
}

/** A small initramfs: /init and the modules to get at the root, on which it goes on. */
export function firstStageTree(parts: Parts, stage: keyof typeof image.firstStages): Tree {
  const tree = new Tree();
  for (const where of ["dev", "newroot", "proc", "sys", "usr/lib"]) tree.directory(where);
  tree.symlink("lib", "usr/lib");
  tree.character("dev/console", 0o600, 5, 1);
  addOwn(tree, parts.root, "init");
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

function skeleton(root: string): Tree {
  const tree = new Tree();
  for (const where of image.directories) tree.directory(where);
  for (const [where, target] of Object.entries(image.symlinks)) tree.symlink(where, target);
  // The kernel opens it before /init can mount devtmpfs; null is for a root without devtmpfs.
  tree.character("dev/console", 0o600, 5, 1);
  tree.character("dev/null", 0o666, 1, 3);
  for (const program of image.ownPrograms) addOwn(tree, root, program.to);
  return tree;
}

function addOwn(tree: Tree, root: string, to: string): void {
  const program = image.ownPrograms.find((candidate) => candidate.to === to);
  if (!program) throw new AgentError("INTERNAL", `rootfs/image.ts names no program ${to}`);
  const from = path.join(root, program.from);
  if (!existsSync(from))
    throw new AgentError(
      "NOT_SUPPORTED",
      `${program.from} is not built; run make -C ${path.dirname(program.from)}/..`,
    );
  tree.copy(to, from, "init and vsockexec");
}

function addPackage(tree: Tree, pick: image.PackagePick, unpacked: readonly Unpacked[]): void {
  const found = unpacked.find((candidate) => candidate.name === pick.name);
  for (const file of pick.files) {
    const source = ["usr", ""]
      .map((base) => path.join(found?.directory ?? "", base, file))
      .find((candidate) => lstatIfThere(candidate));
    if (!found || !source) {
      throw new AgentError(
        "NOT_SUPPORTED",
        `Debian package ${pick.name} has no ${file} any more; correct rootfs/image.ts`,
      );
    }
    const where = file.startsWith("etc/") ? file : `usr/${file}`;
    if (lstatSync(source).isSymbolicLink()) tree.symlink(where, readlinkSync(source));
    else tree.file(where, readFileSync(source), pick.name, file.startsWith("etc/") ? 0o644 : 0o755);
  }
}

function lstatIfThere(where: string): boolean {
  return lstatSync(where, { throwIfNoEntry: false }) !== undefined;
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
  const addons = {
    "hvsock.node": "native/hvsock/build/Release/hvsock.node",
    "pty.node": "node_modules/node-pty/build/Release/pty.node",
    "koffi.node": `node_modules/@koromix/koffi-${platform}/${platform.replace("-", "_")}/koffi.node`,
  };
  for (const [name, from] of Object.entries(addons)) {
    const source = path.join(parts.root, from);
    if (!existsSync(source)) throw new AgentError("NOT_SUPPORTED", `${from} is missing; run npm run setup`);
    tree.copy(`${home}/${name}`, source, "agent");
  }
}

function addModules(tree: Tree, parts: Parts, names: readonly string[]): void {
  for (const module of parts.kernel.modules.inLoadOrder(names)) {
    tree.file(`usr/lib/modules/${parts.kernel.release}/${module.file}`, module.bytes, "kernel modules");
  }
}
