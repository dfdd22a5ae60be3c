import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, symlinkSync } from "node:fs";
import { test } from "tap";
import * as hcs from "../../../src/hcs/index.ts";
import { rejection } from "./support.ts";

test("a VHDX with an NTFS partition", async (t) => {
  const directory = t.testdir();
  const path = `${directory}/disk.vhdx`;
  await hcs.createNtfsVhd(path, 1);
  const info = JSON.parse(execFileSync("qemu-img", ["info", "--output=json", path], { encoding: "utf8" }));
  t.match(info, { format: "vhdx", "virtual-size": 2 ** 30 });
  execFileSync("qemu-img", ["convert", "-O", "raw", path, `${directory}/raw`]);
  const dd = ["if=raw", "of=volume", "bs=1M", "skip=1", "count=1022", "conv=sparse", "status=none"];
  execFileSync("dd", dd, { cwd: directory });
  const volume = execFileSync("ntfsinfo", ["-m", "volume"], {
    cwd: directory,
    encoding: "utf8",
    env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin" },
  });
  t.match(volume, /NTFS|Volume Version: 3\.1/);
  t.match(execFileSync("file", ["raw"], { cwd: directory, encoding: "utf8" }), /ID=0x7/);
  t.match(await rejection(hcs.createNtfsVhd(path, 1)), {
    code: "INVALID_ARGUMENT",
    message: /exists already/,
  });
});

test("what cannot be made", async (t) => {
  const directory = t.testdir();
  for (const size of [0, -1, 1.5, 1e6]) {
    const error = await rejection(hcs.createNtfsVhd(`${directory}/disk`, size));
    t.match(error, { name: "HcsError", op: "hcs::CreateNTFSVHD", code: "INVALID_ARGUMENT" });
  }
  t.match(await rejection(hcs.createNtfsVhd(`${directory}/none/disk`, 1)), { code: "INVALID_ARGUMENT" });
  const aborted = await rejection(hcs.createNtfsVhd(`${directory}/disk`, 1, { signal: AbortSignal.abort() }));
  t.match(aborted, { code: "ABORTED" });
  t.strictSame(readdirSync(directory), [], "nothing is left");
  t.notOk(existsSync(`${directory}/disk`));
});

test("a program that is missing is a platform error that names it", async (t) => {
  const directory = t.testdir({ bin: {}, made: {} });
  symlinkSync("/bin/dd", `${directory}/bin/dd`);
  const { PATH } = process.env;
  process.env.PATH = `${directory}/bin`;
  t.teardown(() => {
    process.env.PATH = PATH;
  });
  const error = await rejection(hcs.createNtfsVhd(`${directory}/made/disk`, 1));
  t.equal(hcs.codeOf(error), hcs.ErrPlatformNotSupported);
  t.match(error.message, /qemu-img is missing; install the package qemu-utils/);
  t.strictSame(readdirSync(`${directory}/made`), []);
});
