/** `lcow doctor`: what it says of machines that lack something, and that it leaves nothing. */
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Test, test } from "tap";
import { type Check, formatDiagnosis, note, ok, runChecks, works } from "../../src/cli/doctor/check.ts";
import { checks } from "../../src/cli/doctor/checks.ts";
import * as machine from "../../src/cli/doctor/machine.ts";
import * as programs from "../../src/cli/doctor/programs.ts";
import * as storage from "../../src/cli/doctor/storage.ts";
import { hereAndNow, type Surroundings } from "../../src/cli/doctor/surroundings.ts";
import { AgentError } from "../../src/common/errors.ts";
import { AS_NOBODY, LCOW, lcow } from "./lcow.ts";

/** This machine, but for a device that is there and no usable image, so that nothing is booted. */
function around(changes: Partial<Surroundings>): Surroundings {
  return { ...hereAndNow("/proc/none/state"), ...changes };
}

function temporary(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), "lcow-doctor-"));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A program that says its version, or does what else it is told. */
function program(directory: string, name: string, script: string): void {
  writeFileSync(join(directory, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

test("on this machine, with a cache and a state of its own: all is told, and nothing is made", async (t) => {
  const directory = temporary(t);
  const env = { XDG_CACHE_HOME: `${directory}/cache`, LCOW_STATE_DIRECTORY: `${directory}/state` };
  const { status, stdout, stderr } = await lcow(t, ["doctor"], { env });
  t.equal(stderr, "");
  t.equal(status, 0, stdout);
  t.match(stdout, /\nlcow run works here\n$/);
  const lines = stdout.split("\n\n")[0]?.split("\n") ?? [];
  const told = lines.filter((line) => !line.includes("remedy: "));
  t.equal(told.length, checks.length);
  for (const [index, { name }] of checks.entries())
    t.match(told[index], new RegExp(`^(ok|note)  +${name}  +\\S`), name);
  const column = told.map((line) => /^\S+ +\S+ +/.exec(line)?.[0].length);
  t.equal(new Set(column).size, 1, "aligned");
  t.match(stdout, /ok +QEMU +QEMU emulator version \d/);
  t.match(stdout, /ok +image +\S+initrd.img: Linux \d\S+, runc \S+, crun \S+\n/);
  t.match(stdout, /ok +cache +\S+cache\/lcow-gcs \(made when it is needed\), /);
  t.match(stdout, /note +service +no service answers at .*\n +remedy: lcow serve/);
  t.notMatch(stdout, "\x1b");
  t.same(readdirSync(directory), []);
});

test("without QEMU and runc: what run needs is MISSING, the rest a note, and each has a remedy", async (t) => {
  const { status, stdout, stderr } = await lcow(t, ["doctor"], { env: { PATH: "/proc/none:/bin/none" } });
  t.match({ status, stderr }, { status: 1, stderr: "" });
  t.match(stdout, /MISSING +QEMU +qemu-system-x86_64 is not .*\n +remedy: apt-get install qemu-system-x86\n/);
  t.match(stdout, /MISSING +setpriv .*\n +remedy: apt-get install util-linux\n/);
  t.match(stdout, /note +runc +runc is not .*\(needed for run --local\)\n +remedy: apt-get install runc\n/);
  t.match(stdout, /\nlcow run does not work here, for want of: QEMU, setpriv\n$/);
});

test("--json has the same, for programs", async (t) => {
  const { status, stdout } = await lcow(t, ["doctor", "--json"], { env: { PATH: "/proc/none" } });
  t.equal(status, 1);
  const told = JSON.parse(stdout) as { works: boolean; checks: { name: string }[] };
  t.equal(told.works, false);
  t.same(
    told.checks.map(({ name }) => name),
    checks.map(({ name }) => name),
  );
  t.match(told.checks[2], { state: "missing", neededFor: /run/, remedy: /apt-get/ });
});

test("somebody who is not root is told what that costs", async (t) => {
  const directory = temporary(t);
  chmodSync(directory, 0o755);
  // One that others may read: the checkout's may lie where they cannot come.
  const image = join(directory, "image");
  mkdirSync(image);
  for (const file of ["vmlinux", "initrd.img"]) {
    cpSync(join(LCOW, "../../out", file), join(image, file));
    chmodSync(join(image, file), 0o644);
  }
  const env = {
    ...process.env,
    XDG_CACHE_HOME: directory,
    LCOW_STATE_DIRECTORY: `${directory}/state`,
    LCOW_IMAGE: image,
  };
  const stdout = execFileSync("setpriv", [...AS_NOBODY, LCOW, "doctor"], {
    encoding: "utf8",
    env,
    cwd: "/",
  });
  t.match(stdout, /note +user +user 65534, not root: no run --local; .*\n +remedy: /);
  t.match(stdout, /note +state .*cannot be made, as \S+ cannot be written to/);
  t.match(stdout, /note +cache .*cannot be (made|written)/);
  t.match(stdout, /\nlcow run works here\n$/, "the cache is not needed without KVM");
});

test("a /dev/kvm that is none, that may not be used, and one that boots nothing", async (t) => {
  const directory = temporary(t);
  const file = join(directory, "kvm");
  writeFileSync(file, "");
  const says = async (changes: Partial<Surroundings>) => await machine.kvm.run(around(changes));
  t.match(await says({ kvm: "/proc/none" }), {
    state: "note",
    says: /no \/proc\/none: .*emulated.*slower/,
  });
  t.match(await says({ kvm: file }), { state: "note", says: `${file} is no device` });
  t.match(await says({ kvm: `${file}/x` }), { state: "note", says: /there is no / });
  // /dev/null can be opened by all: what is behind it is never asked by the QEMU below.
  const tried = { kvm: "/dev/null", path: directory, cache: directory };
  t.match(await says(tried), { state: "note", says: /without QEMU it could not be tried/ });
  program(directory, "qemu-system-x86_64", "exit 1");
  const image = () => ({ kernel: "/proc/none", initrd: "/proc/none" });
  t.match(await says({ ...tried, image }), { state: "note", says: /without an image/ });
  t.match(await says(tried), {
    state: "note",
    says: /boots no guest: .*emulated/,
    remedy: /nested/,
  });
  program(directory, "qemu-system-x86_64", "echo Linux version 6.1; exec sleep 60");
  t.match(await says(tried), { state: "ok", says: "/dev/null boots a guest" });
  t.notOk(existsSync(join(directory, "qemu")), "nothing is remembered");
});

test("vsock is either", async (t) => {
  t.match(await machine.vsock.run(around({ vhostVsock: "/dev/null" })), { state: "ok", says: "/dev/null" });
  const found = await machine.vsock.run(around({ vhostVsock: "/proc/none" }));
  t.match(found, { state: "ok", says: /no \/proc\/none: the forwarder/ });
});

test("cgroup layouts, and what crun makes of them", async (t) => {
  const directory = temporary(t);
  mkdirSync(`${directory}/proc/self`, { recursive: true });
  program(directory, "crun", "echo crun version 9");
  const mount = (type: string, options: string, at = "/sys/fs/cgroup") =>
    `30 20 0:1 / ${at} rw - ${type} none rw,${options}\n`;
  const unified = mount("cgroup2", "nsdelegate");
  const layouts: [mountinfo: string, cgroups: object, crun: object][] = [
    [unified, { state: "ok", says: "version 2, with nsdelegate" }, { state: "ok" }],
    [
      mount("cgroup2", "seclabel"),
      { state: "note", says: /without nsdelegate/, remedy: /remount/ },
      { state: "ok" },
    ],
    [
      mount("cgroup", "memory", "/sys/fs/cgroup/memory"),
      { state: "ok", says: /^version 1/ },
      { state: "ok" },
    ],
    [
      unified + mount("cgroup", "memory", "/sys/fs/cgroup/memory"),
      { state: "ok", says: /^hybrid/ },
      { state: "note", says: /refuses/, remedy: /runc/ },
    ],
    ["", { state: "note", says: /no cgroup/, remedy: /^mount / }, {}],
  ];
  for (const [mountinfo, cgroups, crun] of layouts) {
    writeFileSync(`${directory}/proc/self/mountinfo`, mountinfo);
    const found = around({ root: directory, path: directory });
    t.match(await machine.cgroups.run(found), cgroups);
    const [said] = await runChecks([programs.crun], found);
    t.match(said, crun);
  }
});

test("programs that are there and do not run", async (t) => {
  const directory = temporary(t);
  const path = directory;
  program(directory, "qemu-system-x86_64", "echo libpixman is missing >&2; exit 127");
  program(directory, "runc", "kill -9 $$");
  t.match(await programs.qemu.run(around({ path })), {
    state: "missing",
    says: /does not run: .*libpixman is missing/s,
    remedy: /qemu-system-x86/,
  });
  t.match(await programs.runc.run(around({ path })), { state: "note", says: /does not run: .*SIGKILL/ });
});

test("images that cannot be booted", async (t) => {
  const directory = temporary(t);
  const image = { kernel: join(directory, "vmlinux"), initrd: join(directory, "initrd.img") };
  const says = async () => await programs.image.run(around({ image: () => image }));
  const wrong = () => {
    throw new AgentError("INVALID_ARGUMENT", "it belongs to another version");
  };
  t.match(await programs.image.run(around({ image: wrong })), { state: "missing", says: /another version/ });
  t.match(await says(), { state: "missing", says: /there is no .*vmlinux/, remedy: /lcow image/ });
  writeFileSync(image.kernel, "no kernel");
  writeFileSync(image.initrd, "");
  t.match(await says(), { state: "missing", remedy: /--force/ });
  cpSync(hereAndNow("/").image().kernel, image.kernel);
  t.match(await says(), { state: "missing", says: /initrd.*is empty/ });
  writeFileSync(image.initrd, "x");
  t.match(await says(), { state: "ok", says: /nothing tells what it is made of/ });
  writeFileSync(join(directory, "image.json"), "{");
  t.match(await says(), { state: "ok", says: /no JSON/ });
});

test("caches that are not safe count where KVM works, which is remembered there", async (t) => {
  const cache = join(temporary(t), "cache");
  mkdirSync(cache);
  chmodSync(cache, 0o777);
  const says = async (kvm: string) => await storage.cache.run(around({ cache, kvm }));
  t.match(await says("/proc/none"), { state: "note", says: /written to by others/ });
  t.match(await says("/dev/null"), {
    state: "missing",
    says: /written to by others/,
    remedy: /XDG_CACHE_HOME/,
  });
  t.match(await storage.cache.run(around({ cache: "/proc/cache", kvm: "/x" })), { state: "note" });
});

test("state directories that the service would refuse", async (t) => {
  const directory = temporary(t);
  const file = join(directory, "file");
  writeFileSync(file, "");
  const says = async (stateDirectory: string) =>
    (await runChecks([storage.state, storage.service], around({ stateDirectory }))).map(({ says }) => says);
  t.match(await says(file), [/is no directory/, /does not answer|no service/]);
  t.match(await says(`/${"x".repeat(120)}`), [/.*/, /too long a name/]);
  t.match(await says("/proc/1/state"), [/cannot be/, /no service answers/]);
});

test("a check that fails or hangs is a line", async (t) => {
  const checks: Check[] = [
    { name: "a", neededFor: "x", run: async () => ok("good") },
    { name: "bad", neededFor: "y", run: async () => Promise.reject(new Error("no\nway\x1b[2J")) },
    { name: "c", neededFor: "z", run: () => new Promise(() => undefined) },
    { name: "d", neededFor: "z", run: async () => note("slow", "hurry") },
  ];
  const found = await runChecks(checks, around({}), 50);
  t.ok(works(found));
  t.equal(
    formatDiagnosis(found),
    `ok       a    good
note     bad  could not be found out: no\\nway\\x1b[2J (needed for y)
note     c    could not be found out: it took longer than 50 ms (needed for z)
note     d    slow (needed for z)
              remedy: hurry

lcow run works here
`,
  );
});

test("help and completion", async (t) => {
  t.match(await lcow(t, ["help", "doctor"]), { status: 0, stdout: /MISSING.*--json/s });
  t.match(await lcow(t, ["__complete", "doc"]), { stdout: /doctor/ });
  t.match(await lcow(t, ["__complete", "doctor", "--"]), { stdout: /--json/ });
  t.match(await lcow(t, ["doctor", "please"]), { status: 2, stderr: /doctor: unexpected/ });
});
