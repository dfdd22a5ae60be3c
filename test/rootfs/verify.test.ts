/** Downloaded packages are kept, and compared with what was recorded of them before each use. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { type Test, test } from "tap";
import type { Archive } from "../../rootfs/archive.ts";
import { packageFiles, unpackPackages } from "../../rootfs/packages.ts";
import { Toolchain } from "../../rootfs/toolchain.ts";

const FILE = "pack_1_all.deb";

function source(file: string): string {
  return readFileSync(path.join(import.meta.dirname, "../../rootfs", file), "utf8");
}

/** Of rootfs/packages.ts: which dependencies are followed stands in the list of what was asked for. */
const RULE = /const followed = \/(.*)\/;/.exec(source("packages.ts"))?.[1] ?? "";

/** A cache in which one package was downloaded for a list, as an earlier build leaves it. */
function filledCache(t: Test, { list = "packages", wanted = [RULE, "pack"] } = {}) {
  const cache = t.testdir();
  mkdirSync(path.join(cache, "debs"));
  mkdirSync(path.join(cache, "pack/DEBIAN"), { recursive: true });
  mkdirSync(path.join(cache, "pack/usr/bin"), { recursive: true });
  writeFileSync(path.join(cache, "pack/usr/bin/tool"), "the tool\n");
  if (list === "compilers") copyFileSync("/bin/busybox", path.join(cache, "pack/usr/bin/busybox"));
  writeFileSync(
    path.join(cache, "pack/DEBIAN/control"),
    "Package: pack\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n",
  );
  const deb = path.join(cache, "debs", FILE);
  execFileSync("dpkg-deb", ["-b", path.join(cache, "pack"), deb], { stdio: "ignore" });
  const hash = `SHA256:${createHash("sha256").update(readFileSync(deb)).digest("hex")}`;
  writeFileSync(
    path.join(cache, `${list}-none.json`),
    JSON.stringify({ wanted, files: [{ file: FILE, hash }] }),
  );
  return { cache, deb, options: { cache, suite: "none", refresh: false, say: () => undefined } };
}

test("what was unpacked and changed since is unpacked again", async (t) => {
  const { options } = filledCache(t);
  const unpack = async () => (await unpackPackages(["pack"], options))[0]?.directory ?? "";
  const tool = path.join(await unpack(), "usr/bin/tool");
  const changes: [string, () => void][] = [
    ["contents", () => writeFileSync(tool, "the fool\n")],
    ["a mode", () => chmodSync(tool, 0o4755)],
    ["a file more", () => writeFileSync(path.join(tool, "../more"), "")],
    [
      "a link in its place",
      () => {
        rmSync(tool);
        symlinkSync("/etc/passwd", tool);
      },
    ],
    ["its record", () => writeFileSync(path.join(tool, "../../../../pack_1_all.sha256"), "0\n")],
  ];
  for (const [what, change] of changes) {
    change();
    await unpack();
    t.equal(readFileSync(tool, "utf8"), "the tool\n", what);
    t.equal(execFileSync("ls", [path.dirname(tool)], { encoding: "utf8" }), "tool\n", what);
  }
});

test("so is the toolchain", async (t) => {
  const wanted = [
    ...(/const packages = \[(.*?)\];/s.exec(source("toolchain.ts"))?.[1] ?? "").matchAll(/"(.*?)"/g),
  ];
  const { options } = filledCache(t, { list: "compilers", wanted: wanted.map(([, name = ""]) => name) });
  const show = async () => {
    const toolchain = await Toolchain.open(options);
    return await toolchain.inDirectory(async (work) => {
      const shown = await toolchain.run(work, ["busybox", "cat", "/usr/bin/tool"]);
      return { shown: shown.toString(), usr: path.join(work, "../usr") };
    });
  };
  const { shown, usr } = await show();
  t.equal(shown, "the tool\n");
  const { ino } = statSync(usr);
  t.equal(statSync((await show()).usr).ino, ino, "as it is it is kept");
  for (const change of [
    () => writeFileSync(path.join(usr, "bin/tool"), "the fool\n"),
    () => writeFileSync(path.join(usr, "bin/ld"), ""),
    () => rmSync(path.join(usr, "bin/busybox")),
    () => rmSync(`${usr}.sha256`),
  ]) {
    change();
    t.equal((await show()).shown, "the tool\n", String(change));
    t.notOk(existsSync(path.join(usr, "bin/ld")));
  }
});

test("a downloaded file that is not what was recorded is not used: the archive is asked again", async (t) => {
  const changes: ((deb: string) => void)[] = [
    (deb) => appendFileSync(deb, "x"),
    (deb) => writeFileSync(deb, ""),
    (deb) => rmSync(deb),
    (deb) => {
      symlinkSync(deb, `${deb}.link`);
      execFileSync("mv", [deb, `${deb}.real`]);
      symlinkSync(`${deb}.real`, deb);
    },
  ];
  const list = (cache: string, files: unknown[]) =>
    writeFileSync(path.join(cache, "packages-none.json"), JSON.stringify({ wanted: [RULE, "pack"], files }));
  changes.push(
    (deb) => list(path.join(deb, "../.."), [FILE]),
    (deb) => list(path.join(deb, "../.."), [{ file: FILE, hash: "MD5Sum:d41d8cd98f00b204e9800998ecf8427e" }]),
  );
  for (const change of changes) {
    const { options, deb } = filledCache(t);
    const asked = {
      ...options,
      say: () => {
        throw new Error("asked");
      },
    };
    const use = () => packageFiles("packages", [RULE, "pack"], asked, async (_: Archive) => []);
    t.same(await use(), [deb], "as it was");
    change(deb);
    await t.rejects(use(), { message: "asked" });
  }
});
