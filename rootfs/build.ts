/**
 * Builds the image: out/kernel and out/vmlinux (the same, not compressed), out/initrd.img, out/rootfs.ext4 and
 * out/boot.img (the disk's first stage).
 * npm run image -- [--out DIRECTORY] [--suite SUITE] [--runtimes SUITE] [--level N] [--refresh] [--force]
 *   --out       where to write; default out
 *   --suite     the Debian that it is made of; default bookworm, whatever this machine has
 *   --runtimes  the Debian whose runc and crun it has; default sid, which has their mends first
 *   --level     of zstd, 1 to 22; a higher one takes longer and gives a smaller initrd
 *   --refresh   ask the package archive for newer versions
 *   --force     build everything again, whatever is kept from before
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { AgentError, describeError } from "../src/common/errors.ts";
import { nodeFlags } from "../src/common/node-flags.ts";
import { bundle } from "./bundle.ts";
import { codeCache } from "./code-cache.ts";
import { run } from "./command.ts";
import { compile } from "./compiled.ts";
import { firstStageTree, layerTrees, rootTree } from "./content.ts";
import { cpioArchive } from "./cpio.ts";
import { writeDisk } from "./disk.ts";
import * as image from "./image.ts";
import { KernelModules } from "./kernel-modules.ts";
import { inputKey, upToDate, writeManifest } from "./manifest.ts";
import { smallNode } from "./node.ts";
import { findFile, findKernel, unpackPackages } from "./packages.ts";
import { partSizes, sizeReport } from "./report.ts";
import { runtimesTree, unpackRuntimes } from "./runtimes.ts";
import { squashfsImage } from "./squashfs.ts";
import { Toolchain } from "./toolchain.ts";
import { Tree } from "./tree.ts";
import { uncompressedKernel } from "./uncompressed-kernel.ts";

const root = path.resolve(import.meta.dirname, "..");

const started = performance.now();
function say(text: string): void {
  process.stderr.write(
    `image: ${((performance.now() - started) / 1000).toFixed(1).padStart(5)} s  ${text}\n`,
  );
}

function architecture(): image.Architecture {
  if (process.arch === "x64" || process.arch === "arm64") return process.arch;
  throw new AgentError(
    "NOT_SUPPORTED",
    `no image for ${process.arch}: x64 and arm64 are supported, built on a machine of that kind`,
  );
}

async function compressedCpio(tree: Tree, toolchain: Toolchain): Promise<Buffer> {
  const input = cpioArchive(tree, image.timestamp);
  const command = ["zstd", "-q", "-c", `-${image.compression.firstStage}`];
  return await toolchain.inDirectory((work) => toolchain.run(work, command, { input }));
}

function writeWhole(output: string, bytes: Buffer): void {
  writeFileSync(`${output}.partial`, bytes);
  renameSync(`${output}.partial`, output);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      out: { type: "string", default: path.join(root, "out") },
      suite: { type: "string", default: image.defaultSuite },
      runtimes: { type: "string", default: image.runtimes.suite },
      level: { type: "string", default: String(image.compression.default) },
      refresh: { type: "boolean", default: false },
      force: { type: "boolean", default: false },
      agent: { type: "string", default: "src/gcs/main.ts" },
    },
  });
  const out = path.resolve(values.out);
  const cache = path.join(root, "out/cache");
  const arch = architecture();
  const names = image.architectures[arch];
  const level = Number(values.level);
  if (!Number.isInteger(level) || level < 1 || level > 22)
    throw new AgentError("INVALID_ARGUMENT", `--level ${values.level} is no zstd level: 1 to 22`);
  mkdirSync(out, { recursive: true });
  mkdirSync(cache, { recursive: true });

  const agent = await bundle(path.join(root, values.agent), root);
  const wanted = [names.kernelPackage, ...image.packages.map((pick) => pick.name)];
  const options = { cache, suite: values.suite, refresh: values.refresh, say };
  const unpacked = await unpackPackages(wanted, options);
  const runtimePackages = await unpackRuntimes({ ...options, suite: values.runtimes });
  const toolchain = await Toolchain.open(options);
  const compiled = await compile(root, names.nodePackage, toolchain);
  const nodeSource = path.join(root, "node_modules", names.nodePackage, "bin/node");
  const node = await smallNode(nodeSource, cache, toolchain);

  const kernel = findKernel(unpacked, names.kernelFile);
  const modules = new KernelModules(kernel.modules);
  const applets = await run([findFile(unpacked, "busybox-static", "bin/busybox"), "--list"], {
    remedy: "see rootfs/image.ts",
  });
  const parts = {
    root,
    architecture: arch,
    unpacked,
    kernel: { release: kernel.release, modules },
    node,
    runtimes: await runtimesTree(runtimePackages, names.multiarch, cache, toolchain),
    compiled,
    agent: { ...agent, cache: await codeCache(nodeSource, agent.code) },
    applets: applets.toString().trim().split("\n"),
  };
  const full = rootTree(parts);
  const disk = firstStageTree(parts, "disk");
  const memory = firstStageTree(parts, "memory");
  const settings = [toolchain.version, level, image.timestamp, image.disk, image.squashfs, image.compression];
  const key = inputKey([full, disk, memory], [kernel.image], [JSON.stringify(settings)]);
  if (!values.force && upToDate(out, key)) {
    say(`up to date: ${out}`);
    return;
  }
  const { timestamp } = image;
  const layers = new Tree();
  for (const { name, tree: layer } of layerTrees(full)) {
    say(`compressing ${name} (zstd -${level})`);
    layers.file(
      `layers/${name}.squashfs`,
      await squashfsImage(layer, { cache, timestamp, level, force: values.force, toolchain }),
      name,
    );
  }
  const packedKernel = readFileSync(kernel.image);
  writeWhole(path.join(out, "kernel"), packedKernel);
  writeWhole(path.join(out, "vmlinux"), await uncompressedKernel(packedKernel));
  // Two archives, as for microcode. The layers are compressed themselves; a second time would make them 2 % smaller and
  // take the guest twice as long to unpack.
  const initrd = [cpioArchive(layers, timestamp), await compressedCpio(memory, toolchain)];
  writeWhole(path.join(out, "initrd.img"), Buffer.concat(initrd));
  writeWhole(path.join(out, "boot.img"), await compressedCpio(disk, toolchain));
  say("writing the disk");
  await writeDisk(full, path.join(out, "rootfs.ext4"), timestamp, toolchain);
  const sizes = partSizes(full);
  writeManifest(out, key, {
    kernelRelease: kernel.release,
    packages: unpacked,
    runtimes: { suite: values.runtimes, packages: runtimePackages },
    parts: sizes,
  });
  process.stderr.write(sizeReport(sizes, out));
  say(`done: ${out}`);
}

/** Starts this again under a lock when another build may be at work: two would overwrite each other's files. */
async function locked(): Promise<void> {
  const held = "LCOW_IMAGE_LOCK";
  if (process.env[held]) return main();
  mkdirSync(path.join(root, "out"), { recursive: true });
  const lock = path.join(root, "out/.lock");
  const again = [process.execPath, ...nodeFlags, ...process.argv.slice(1)];
  const child = spawn("flock", ["--timeout", "900", lock, ...again], {
    stdio: "inherit",
    env: { ...process.env, [held]: "1" },
  });
  try {
    const [code, signal] = await once(child, "close");
    process.exitCode = signal ? 1 : code;
  } catch (cause) {
    throw new AgentError("SPAWN_FAILED", "flock cannot be run; install the Debian package util-linux", {
      cause,
    });
  }
}

try {
  await locked();
} catch (thrown) {
  process.stderr.write(`image: ${describeError(thrown)}\n`);
  process.exitCode = 1;
}
