import path from "node:path";
import type { Toolchain } from "./toolchain.ts";

/** Paths of what is compiled for the image. */
export interface Compiled {
  readonly programs: Readonly<Record<"init" | "vsockexec" | "gcs" | "vsock-forwarder", string>>;
  readonly addons: Readonly<Record<"hvsock.node", string>>;
}

/** This repository's programs and the addons, each compiled again only when its own sources change. */
export async function compile(root: string, nodePackage: string, toolchain: Toolchain): Promise<Compiled> {
  const inC = async (directory: string, names: readonly string[]) =>
    path.join(
      await toolchain.make(root, {
        sources: [`${directory}/*.{c,h}`, `${directory}/Makefile`],
        results: names.map((name) => `${directory}/out/${name}`),
        make: ["-C", directory, "CC=gcc"],
      }),
      `${directory}/out`,
    );
  const init = await inC("native/init", ["init", "vsockexec", "gcs"]);
  const forwarder = await inC("native/forwarder", ["vsock-forwarder"]);
  return {
    programs: {
      init: path.join(init, "init"),
      vsockexec: path.join(init, "vsockexec"),
      gcs: path.join(init, "gcs"),
      "vsock-forwarder": path.join(forwarder, "vsock-forwarder"),
    },
    addons: {
      "hvsock.node": await compileAddon(root, nodePackage, toolchain),
    },
  };
}

/**
 * The addon alone, for Node's stable interface: for this machine's architecture or, with a compiler for it, another.
 * @param nodePackage whose headers it is compiled with; they are the same for all architectures
 * @returns its path
 */
export async function compileAddon(
  root: string,
  nodePackage: string,
  toolchain: Toolchain,
  compiler?: string,
): Promise<string> {
  const node = `node_modules/${nodePackage}`;
  const headers = [`${node}/include/node/*.h`, `${node}/include/node/{uv,cppgc,libplatform}/**/*.h`];
  const target = "built/hvsock.node";
  const made = await toolchain.make(root, {
    sources: ["rootfs/addons.mk", ...headers, "node_modules/node-addon-api/*.h", "native/hvsock/src/*"],
    results: [target],
    make: [
      ...["-f", "rootfs/addons.mk", `NODE=${node}`],
      ...(compiler === undefined ? [] : [`CXX=${compiler}`]),
      target,
    ],
  });
  return path.join(made, target);
}
