import { existsSync, readFileSync } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import t, { type Test } from "tap";
import { kvmWorks } from "../../../../src/hcs/uvm/qemu/accelerator.ts";
import { shortDirectory } from "../../short-directory.ts";

t.jobs = 1;

/** Any file: the stand-ins do not read it. */
const KERNEL = import.meta.filename;

/** A stand-in for QEMU that notes each of its runs. */
async function fakeQemu(t: Test, behaviour: string): Promise<{ path: string; runs(): number }> {
  const directory = shortDirectory(t);
  const before = process.env.XDG_CACHE_HOME;
  process.env.XDG_CACHE_HOME = join(directory, "cache");
  t.teardown(() => {
    if (before === undefined) delete process.env.XDG_CACHE_HOME;
    else process.env.XDG_CACHE_HOME = before;
  });
  const path = join(directory, "qemu");
  const log = join(directory, "runs");
  await writeFile(path, `#!/bin/sh\necho run >> ${log}\n${behaviour}\n`);
  await chmod(path, 0o755);
  return { path, runs: () => (existsSync(log) ? readFileSync(log, "utf8").split("\n").length - 1 : 0) };
}

t.test("KVM works where a kernel prints under it, and the answer is remembered", async (t) => {
  const qemu = await fakeQemu(t, "echo '[    0.000000] Linux version 6.1'; exec sleep 60");
  t.equal(await kvmWorks(qemu.path, KERNEL, "/dev/null"), true);
  t.equal(await kvmWorks(qemu.path, KERNEL, "/dev/null"), true);
  t.equal(qemu.runs(), 1);
});

t.test("a guest that hangs or fails under KVM means no KVM", async (t) => {
  const hanging = await fakeQemu(t, "exec sleep 60");
  t.equal(await kvmWorks(hanging.path, KERNEL, "/dev/null"), false);
  t.equal(await kvmWorks(hanging.path, KERNEL, "/dev/null"), false);
  t.equal(hanging.runs(), 1, "asked once");
  const failing = await fakeQemu(t, "echo no >&2; exit 1");
  t.equal(await kvmWorks(failing.path, KERNEL, "/dev/null"), false);
});

t.test("without the device nobody is asked", async (t) => {
  const qemu = await fakeQemu(t, "exit 0");
  t.equal(await kvmWorks(qemu.path, KERNEL, "/proc/none/kvm"), false);
  t.equal(qemu.runs(), 0);
});
