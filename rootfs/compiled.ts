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
  const node = `node_modules/${nodePackage}`;
  const headers = [`${node}/include/node/*.h`, `${node}/include/node/{uv,cppgc,libplatform}/**/*.h`];
  const addon = async (name: string, sources: readonly string[]) =>
    path.join(
      await toolchain.make(root, {
        sources: ["rootfs/addons.mk", ...headers, "node_modules/node-addon-api/*.h", ...sources],
        results: [`built/${name}`],
        make: ["-f", "rootfs/addons.mk", `NODE=${node}`, `built/${name}`],
      }),
      `built/${name}`,
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
      "hvsock.node": await addon("hvsock.node", ["native/hvsock/src/*"]),
    },
  };
}
