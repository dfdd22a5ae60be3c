/** `lcow run` and `lcow boot` in a virtual machine, as a person would use them, and what they say when it goes wrong. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import tap, { test } from "tap";
import { buildImage } from "../../src/cli/image.ts";
import { copyRootfs } from "../helpers/rootfs.ts";
import { LCOW, Lcow, lcow, OnTerminal } from "./lcow.ts";

/** Emulated, a boot takes seconds, and beside other tests many. */
const TIMEOUT_MS = 180_000;
tap.setTimeout(2 * TIMEOUT_MS);
const options = { timeout: TIMEOUT_MS };

if ((await buildImage()) !== 0) throw new Error("the image could not be built");

/** QEMU's own process, below lcow. */
function qemuBelow(pid: number): number | undefined {
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    for (const child of readFileSync(`/proc/${pid}/task/${task}/children`, "utf8")
      .split(" ")
      .filter(Boolean)) {
      const command = readFileSync(`/proc/${child}/cmdline`, "utf8");
      const found = /^[^\0]*qemu-system/.test(command) ? Number(child) : qemuBelow(Number(child));
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

// Its own, since others run machines meanwhile.
process.env.TMPDIR = mkdtempSync(join(tmpdir(), "lcow-test-"));
tap.teardown(() => rmSync(tmpdir(), { recursive: true }));
const temporary = () => readdirSync(tmpdir());

test("the guest's kernel release, and the container's exit status", options, async (t) => {
  const before = temporary();
  const ran = await lcow(t, ["run", "--times", "--", "/bin/sh", "-c", "uname -r; echo no >&2; exit 7"]);
  t.equal(ran.status, 7, ran.stderr);
  t.match(ran.stdout, /^\d+\.\d+\.\d+-\d+-cloud-/);
  t.match(ran.stderr, /kernel[\s\S]*init runs[\s\S]*negotiated[\s\S]*container runs[\s\S]*no\n/);
  t.same(temporary(), before, "nothing is left");
});

test("a directory of this machine as the root, which stays as it is; standard input", options, async (t) => {
  const root = copyRootfs(`${t.testdir()}/root`);
  writeFileSync(`${root}/mine`, "from this machine\n");
  mkdirSync(`${root}/data`);
  const script = "cat /mine; echo x > /data/new && cat /data/new; sha256sum";
  const running = new Lcow(t, ["run", "-i", "--root", root, "--", "/bin/sh", "-c", script]);
  const bytes = Buffer.alloc(8 * 1024 * 1024, "some bytes ");
  running.child.stdin?.end(bytes);
  const ran = await running.result();
  t.equal(ran.status, 0, ran.stderr);
  const sum = createHash("sha256").update(bytes).digest("hex");
  t.equal(ran.stdout, `from this machine\nx\n${sum}  -\n`);
  t.same(readdirSync(`${root}/data`), []);
});

test("a terminal", options, async (t) => {
  const terminal = new OnTerminal(t, LCOW, ["run", "-it", "--", "/bin/sh"], { cols: 90, rows: 33 });
  await terminal.shows("/ #");
  terminal.pty.write("stty size; exit 9\r");
  await terminal.shows("33 90");
  t.equal(await terminal.end(), 9);
});

test("a machine that is killed is told as that, and nothing is left", options, async (t) => {
  const before = temporary();
  const running = new Lcow(t, ["run", "--", "/bin/sh", "-c", "echo up; sleep 1000"]);
  await running.shows("up\n");
  const qemu = qemuBelow(running.pid);
  if (qemu === undefined) throw new Error("no QEMU below lcow");
  process.kill(qemu, "SIGKILL");
  const ran = await running.result();
  t.equal(ran.status, 125, "no exit status is made up");
  t.match(ran.stderr, /\[TRANSPORT_CLOSED\]/);
  t.match(ran.stderr, /SIGKILL|was killed|ended/i);
  t.same(temporary(), before);
});

test("an agent that dies in the guest shows the end of the console", options, async (t) => {
  const ran = await lcow(t, ["boot", "--", "/bin/sh", "-c", "kill -9 $PPID; sleep 1000"]);
  t.equal(ran.status, 125, ran.stderr);
  t.match(ran.stderr, /init: command exited with status 137/);
});

test("boot: a shell in the machine, and its exit status", options, async (t) => {
  const running = new Lcow(t, ["boot"]);
  running.child.stdin?.end("cat /proc/1/comm; exit 4\n");
  const ran = await running.result();
  t.equal(ran.status, 4, ran.stderr);
  t.equal(ran.stdout, "init\n");
});

test(
  "boot: a signal before the shell ends it with the signal's status, and nothing is left",
  options,
  async (t) => {
    const before = temporary();
    for (const [name, status] of [
      ["SIGINT", 130],
      ["SIGTERM", 143],
    ] as const) {
      const running = new Lcow(t, ["boot"]);
      while (qemuBelow(running.pid) === undefined) await sleep(20);
      running.child.kill(name);
      const ran = await running.result();
      t.equal(ran.status, status, ran.stderr);
      t.notMatch(ran.stderr, /INTERNAL|ABORTED/);
    }
    t.same(temporary(), before);
  },
);

test("boot: a command that is not there is 127", options, async (t) => {
  const ran = await lcow(t, ["boot", "--", "/bin/nonesuch"]);
  t.equal(ran.status, 127, ran.stderr);
  t.match(ran.stderr, /^lcow: [^\n]*\/bin\/nonesuch[^\n]*\n$/m);
});

test("--append reaches the kernel, and --console has what it prints", options, async (t) => {
  const file = `${t.testdir()}/console`;
  const ran = await lcow(t, [
    "run",
    "--console",
    file,
    "--append",
    "lcow.one  lcow.two",
    "--",
    "/bin/cat",
    "/proc/cmdline",
  ]);
  t.equal(ran.status, 0, ran.stderr);
  t.match(ran.stdout, / lcow\.one lcow\.two .*-- /);
  t.notMatch(ran.stdout, /quiet/);
  t.match(readFileSync(file, "utf8"), /Linux version/);
});

test(
  "a guest that does not boot is told with its console's end, and how to look into it",
  options,
  async (t) => {
    const file = `${t.testdir()}/console`;
    const broken = ["--append", "rdinit=/proc/none", "--", "/bin/true"];
    const ran = await lcow(t, ["run", ...broken]);
    t.equal(ran.status, 125);
    t.match(ran.stderr, /kernel panic[\s\S]*\nTo look into it: --console FILE .*--append TEXT .*\n$/);
    const kept = await lcow(t, ["run", "--console", file, ...broken]);
    t.ok(kept.stderr.includes(`in ${file}; --append`), kept.stderr);
    t.match(readFileSync(file, "utf8"), /Linux version[\s\S]*Kernel panic/);
  },
);

test("what is missing or too little is named, within seconds", options, async (t) => {
  const empty = `${t.testdir({ empty: "", text: "no kernel" })}`;
  const cases: [string[], number, RegExp][] = [
    [["--kernel", "/proc/none/kernel"], 2, /kernel \/proc\/none\/kernel/],
    [["--kernel", `${empty}/text`], 125, /no x86 Linux kernel/],
    [["--initrd", "/proc/none/initrd"], 2, /initrd \/proc\/none\/initrd/],
    [["--initrd", `${empty}/empty`], 125, /is empty/],
    [["--vm-memory", "16m"], 2, /too little/],
  ];
  for (const [args, status, message] of cases) {
    const ran = await lcow(t, ["run", ...args, "--", "/bin/true"]);
    t.equal(ran.status, status, args.join(" "));
    t.match(ran.stderr, message);
  }
  const bin = `${empty}/bin`;
  mkdirSync(bin);
  for (const program of ["dirname", "env", "mke2fs", "readlink", "setpriv", "sh", "uname"]) {
    symlinkSync(execFileSync("which", [program], { encoding: "utf8" }).trim(), `${bin}/${program}`);
  }
  const ran = await lcow(t, ["run", "--", "/bin/true"], { env: { PATH: bin } });
  t.match(ran, { status: 125, stderr: /qemu-system/ }, "no QEMU");
});
