/** Debian's packages differ from suite to suite: where their files are, and how the kernel's modules are packed. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { zstdCompressSync } from "node:zlib";
import { test } from "tap";
import { Archive } from "../../rootfs/archive.ts";
import { layerTrees } from "../../rootfs/content.ts";
import * as image from "../../rootfs/image.ts";
import { bootList, KernelModules, modprobeTables } from "../../rootfs/kernel-modules.ts";
import { addLibraries } from "../../rootfs/libraries.ts";
import { findFile, findKernel, type Unpacked } from "../../rootfs/packages.ts";
import { Tree } from "../../rootfs/tree.ts";
import { root } from "./image.ts";

const unpacked = (name: string, directory: string): Unpacked => ({ name, version: "1", directory });

test("a package's file is found below / and /usr, in bin and sbin", (t) => {
  const directory = t.testdir({
    old: { bin: { busybox: "old" }, sbin: { runc: "old" }, etc: { "mke2fs.conf": "old" } },
    merged: { usr: { bin: { busybox: "new", runc: "new" } } },
  });
  const read = (suite: string, file: string) =>
    readFileSync(findFile([unpacked("pack", path.join(directory, suite))], "pack", file), "utf8");
  for (const file of ["bin/busybox", "sbin/runc", "etc/mke2fs.conf"]) t.equal(read("old", file), "old", file);
  for (const file of ["bin/busybox", "sbin/runc"]) t.equal(read("merged", file), "new", file);
  t.throws(() => read("merged", "bin/none"), { code: "NOT_SUPPORTED", message: /pack has no bin\/none/ });
  t.throws(() => findFile([], "gone", "bin/a"), { code: "NOT_SUPPORTED", message: /no Debian package gone/ });
  t.end();
});

test("a package's absolute link is not followed out of the package, into the machine that builds", (t) => {
  const directory = t.testdir({
    "source.c": "void nothing(void) {}\n",
    pack: { lib64: {}, lib: { arch: {} } },
  });
  const pack = path.join(directory, "pack");
  // As libc6's dynamic loader, which every Debian that builds has as well, of its own libc.
  const loader = "ld-linux-x86-64.so.2";
  const build = (...options: string[]) =>
    execFileSync("gcc", ["-nostdlib", ...options, path.join(directory, "source.c")]);
  const file = path.join(pack, "lib/arch", loader);
  build("-shared", "-o", file);
  build(
    "-e",
    "nothing",
    "-pie",
    `-Wl,--dynamic-linker=/lib64/${loader}`,
    "-o",
    path.join(directory, "program"),
  );
  symlinkSync(`/lib/arch/${loader}`, path.join(pack, "lib64", loader));

  const tree = new Tree();
  tree.copy("usr/bin/program", path.join(directory, "program"), "program");
  addLibraries(tree, [unpacked("libc6", pack)], "arch");
  t.match(tree.get(`usr/lib64/${loader}`), { type: "file", bytes: readFileSync(file) });

  const outside = path.join(directory, "outside");
  mkdirSync(path.join(outside, "pack/lib64"), { recursive: true });
  const broken = path.join(outside, "pack");
  symlinkSync(`../../program`, path.join(broken, "lib64", loader));
  writeFileSync(path.join(outside, "program"), "outside");
  const again = new Tree();
  again.copy("usr/bin/program", path.join(directory, "program"), "program");
  t.throws(() => addLibraries(again, [unpacked("libc6", broken)], "arch"), {
    code: "NOT_SUPPORTED",
    message: /is a link to nothing in its own package/,
  });
  t.end();
});

test("the kernel and its modules are found in one package or in two, below / or /usr", (t) => {
  const directory = t.testdir({
    one: { boot: { "vmlinuz-6.1": "" }, lib: { modules: { "6.1": {} } } },
    image: { boot: { "vmlinuz-6.12": "", "config-6.12": "" } },
    modules: { usr: { lib: { modules: { "6.12": {} } } } },
  });
  const at = (name: string) => unpacked(name, path.join(directory, name));
  t.match(findKernel([at("one")], "vmlinuz"), {
    release: "6.1",
    modules: `${directory}/one/lib/modules/6.1`,
  });
  t.same(findKernel([at("modules"), at("image")], "vmlinuz"), {
    release: "6.12",
    modules: `${directory}/modules/usr/lib/modules/6.12`,
    image: `${directory}/image/boot/vmlinuz-6.12`,
  });
  t.throws(() => findKernel([at("image")], "vmlinuz"), { code: "NOT_SUPPORTED" });
  t.end();
});

test("kernel modules: plain, packed with xz, zstd or gzip, or built in", (t) => {
  const directory = t.testdir();
  const kernel = path.join(directory, "kernel/net");
  mkdirSync(kernel, { recursive: true });
  const source = path.join(directory, "module.s");
  const compile = (name: string, depends: string) => {
    writeFileSync(
      source,
      `.section .modinfo,"a"\n.asciz "depends=${depends}"\n.asciz "alias=${name}-alias"\n`,
    );
    execFileSync("gcc", ["-c", source, "-o", path.join(directory, `${name}.o`)]);
    return readFileSync(path.join(directory, `${name}.o`));
  };
  const plain = compile("plain", "in-xz,in_zstd,within");
  const modules = {
    "in-xz": compile("in-xz", ""),
    in_zstd: compile("in_zstd", "in_gzip"),
    in_gzip: compile("in_gzip", ""),
  };
  writeFileSync(path.join(kernel, "plain.ko"), plain);
  writeFileSync(path.join(kernel, "in-xz.ko.xz"), execFileSync("xz", ["-c"], { input: modules["in-xz"] }));
  writeFileSync(path.join(kernel, "in_zstd.ko.zst"), zstdCompressSync(modules.in_zstd));
  writeFileSync(path.join(kernel, "in_gzip.ko.gz"), execFileSync("gzip", ["-c"], { input: modules.in_gzip }));
  writeFileSync(path.join(kernel, "odd.ko.lz9"), "");
  writeFileSync(path.join(directory, "modules.builtin"), "kernel/net/within.ko\n");

  const found = new KernelModules(directory);
  const loaded = found.inLoadOrder(["plain", "within"]);
  t.same(
    loaded.map(({ file }) => file),
    ["kernel/net/in-xz.ko", "kernel/net/in_gzip.ko", "kernel/net/in_zstd.ko", "kernel/net/plain.ko"],
    "dependencies first, all of them as plain files",
  );
  t.ok(loaded[0]?.bytes.equals(modules["in-xz"]), "as they were before");
  t.equal(bootList(found, [{ when: "boot", modules: ["within", "in_gzip"] }]), "- kernel/net/in_gzip.ko\n");
  t.match(modprobeTables(found, ["plain"]).dep, /^kernel\/net\/plain\.ko: kernel\/net\/in_zstd\.ko kernel/m);
  t.same(found.absent(["within", "in_xz", "plain", "nowhere"]), ["nowhere"]);
  t.throws(() => found.inLoadOrder(["odd"]), { code: "NOT_SUPPORTED", message: /odd\.ko\.lz9/ });
  t.end();
});

test("layers: each file is in one; what is added to the image as configuration leaves those below alone", (t) => {
  const tree = new Tree();
  tree.file("usr/bin/node", Buffer.from("node"), "Node");
  tree.file("usr/bin/runc", Buffer.from("runc"), "runc");
  tree.file("usr/lib/a.so", Buffer.from("a"), "shared libraries");
  tree.symlink("usr/bin/ls", "busybox");
  const files = () =>
    layerTrees(tree).map(({ name, tree: layer }) => [
      name,
      [...layer.entries()].filter(([, node]) => node.type !== "directory").map(([where]) => where),
    ]);
  const below = [
    ["0-node", ["usr/bin/node"]],
    ["1-debian", ["usr/bin/runc", "usr/lib/a.so"]],
  ];
  t.same(files(), [...below, ["2-own", ["usr/bin/ls"]]]);
  tree.file("etc/new", Buffer.from("new"), "configuration");
  t.same(files(), [...below, ["2-own", ["etc/new", "usr/bin/ls"]]]);
  const parts = image.layers.flatMap((layer) => layer.parts ?? []);
  t.same(new Set(parts).size, parts.length, "no part in two layers");
  t.end();
});

test("the archive is asked with nothing of the machine but its mirror and keyring", async (t) => {
  // What the build has asked for: no network is needed again.
  const archive = await Archive.open(
    path.join(root, "out/cache/apt", image.defaultSuite),
    image.defaultSuite,
  );
  const [busybox] = await archive.files(["busybox-static"]);
  t.match(busybox?.file, /^busybox-static_.*\+deb12u.*\.deb$/, "of the suite, with its updates");
  const closure = (await archive.closure(["make"])).map(({ name }) => name);
  t.same(closure.includes("libc6"), true, "with what this machine has long installed");
  await t.rejects(Archive.open(t.testdir(), "../etc"), { code: "INVALID_ARGUMENT" });
});

test("without Debian's keyring the build says so, and what to do", async (t) => {
  const hide =
    "mount -t tmpfs none /usr/share/keyrings && exec bin/node-pinned rootfs/build.ts --suite sid --refresh";
  const build = () =>
    execFileSync("unshare", ["-m", "sh", "-c", `${hide} --out ${t.testdir()}`], { cwd: root, stdio: "pipe" });
  t.throws(
    build,
    /debian-archive-keyring\.gpg is missing.*install the Debian package debian-archive-keyring/,
  );
});
