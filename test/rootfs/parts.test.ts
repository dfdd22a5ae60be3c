import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "tap";
import { cpioArchive } from "../../rootfs/cpio.ts";
import { readElf } from "../../rootfs/elf.ts";
import { thinLocaleData } from "../../rootfs/icu.ts";
import { keepsLocaleData } from "../../rootfs/image.ts";
import { Tree } from "../../rootfs/tree.ts";

test("cpio unpacks what the archive holds", (t) => {
  const tree = new Tree();
  tree.file("usr/bin/odd", Buffer.from("12345"), "x", 0o755);
  tree.symlink("bin", "usr/bin");
  tree.character("dev/console", 0o600, 5, 1);
  const listing = execFileSync("cpio", ["-itv", "--quiet", "--numeric-uid-gid"], {
    input: cpioArchive(tree, 86400),
    env: { ...process.env, TZ: "UTC" },
  }).toString();
  t.match(listing, /^drwxr-xr-x +2 0 +0 .* usr\/bin$/m);
  t.match(listing, /^-rwxr-xr-x +1 0 +0 +5 Jan +2 +1970 usr\/bin\/odd$/m);
  t.match(listing, /^lrwxrwxrwx .* bin -> usr\/bin$/m);
  t.match(listing, /^crw------- .* 5, +1 .* dev\/console$/m);
  t.end();
});

test("a tree yields directories before their files, and splits in two without loss", (t) => {
  const tree = new Tree();
  tree.file("b/c", Buffer.from("own"), "own");
  tree.file("b/a", Buffer.from("base"), "base");
  const own = tree.filter((part) => part === "own");
  t.same(
    [...tree.entries()].map(([name]) => name),
    ["b", "b/a", "b/c"],
  );
  t.same(
    [...own.entries()].map(([name]) => name),
    ["b", "b/c"],
  );
  t.same(
    [...tree.without(own).entries()].map(([name]) => name),
    ["b", "b/a"],
  );
  t.end();
});

test("ELF: what a program needs is read as readelf reads it", (t) => {
  const told = execFileSync("readelf", ["-dl", process.execPath]).toString();
  const needed = [...told.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map((match) => match[1] ?? "");
  const facts = readElf(readFileSync(process.execPath), "node");
  t.ok(needed.length > 3);
  t.same(facts.needed, needed);
  t.equal(facts.interpreter, /interpreter: (.*)\]/.exec(told)?.[1]);
  t.end();
});

test("ELF: a file that is cut short is refused by name", (t) => {
  const whole = readFileSync("/bin/busybox");
  t.throws(() => readElf(whole.subarray(0, 4096), "busybox"), { code: "INVALID_DATA", message: /busybox/ });
  t.end();
});

test("locale data: English and the root stay, other locales and old character sets go", (t) => {
  for (const name of [
    "root.res",
    "en.res",
    "zoneinfo64.res",
    "coll/ucadata.icu",
    "nfc.nrm",
    "brkitr/word.brk",
  ]) {
    t.ok(keepsLocaleData(name), name);
  }
  for (const name of ["de.res", "zone/ja.res", "gb18030-2022.cnv", "brkitr/cjdict.dict", "en_AU.res"]) {
    t.notOk(keepsLocaleData(name), name);
  }
  t.throws(() => thinLocaleData(Buffer.from("no package"), keepsLocaleData), { code: "INVALID_DATA" });
  t.end();
});
