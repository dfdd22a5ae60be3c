import { type ChildProcess, execFile, spawn as nodeSpawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { test } from "tap";
import { closeFd, pipe } from "../../native/hvsock/index.ts";
import { ChildList, scanForChildren } from "../../src/linux/child-pids.ts";
import { readProcessStatus } from "../../src/linux/proc.ts";
import { exitCodeOf, Supervisor } from "../../src/linux/supervisor.ts";
import { leaseOn } from "../native/hvsock/support.ts";

const supervisor = new Supervisor();
const children = new ChildList();
const run = promisify(execFile);

const shell = (script: string) => ({ path: "/bin/sh", args: ["sh", "-c", script] });

/**
 * Runs a shell script that prints one pid and exits. What it leaves behind must outlive it a little: a shell reaps
 * a background child that dies before the shell does.
 */
async function printedPid(script: string): Promise<number> {
  const { readFd, writeFd } = pipe();
  const child = await supervisor.spawn({ ...shell(script), stdio: [null, writeFd, null] });
  closeFd(writeFd);
  await child.exited;
  const pid = Number(readFileSync(readFd, "utf8"));
  closeFd(readFd);
  return pid;
}

/** There is no event for somebody else's reaping; bounded by the test's own time-out. */
async function untilGone(pid: number): Promise<void> {
  while (readProcessStatus(pid) !== undefined) await delay(5);
}

test("exit codes and signals are told", async (t) => {
  const exited = await supervisor.spawn(shell("exit 7"));
  t.same(await exited.exited, { code: 7, signal: null });
  t.equal(exited.hasExited, true);
  t.equal(exited.signal(9), false);

  const killed = await supervisor.spawn(shell("exec sleep 1000"));
  t.equal(killed.hasExited, false);
  t.equal(killed.signal(15), true);
  t.equal(exitCodeOf(await killed.exited), 128 + 15);
  t.same(supervisor.pids(), []);
});

test("a program that is not there is an error", async (t) => {
  await t.rejects(supervisor.spawn({ path: "/proc/none/program" }), {
    code: "SPAWN_FAILED",
    message: /\/proc\/none\/program/,
  });
});

test("a thousand short processes come out even", async (t) => {
  await (await supervisor.spawn(shell("exit 0"))).exited;
  const before = readdirSync("/proc/self/fd").length;
  for (let batch = 0; batch < 50; batch++) {
    const codes = Array.from({ length: 20 }, (_, index) => index);
    const exits = codes.map(
      async (code) => (await (await supervisor.spawn(shell(`exit ${code}`))).exited).code,
    );
    const got = await Promise.all(exits);
    if (got.some((code, index) => code !== index)) t.same(got, codes);
  }
  t.equal(readdirSync("/proc/self/fd").length, before);
  t.same(supervisor.pids(), []);
  t.same(children.pids(), []);
});

test("an orphan is reaped", async (t) => {
  const orphan = await printedPid("(sleep 0.1 >/dev/null & echo $!)");
  t.equal(readProcessStatus(orphan)?.parentPid, process.pid);
  t.ok(children.pids().includes(orphan));
  t.ok(scanForChildren().includes(orphan));
  await untilGone(orphan);
  t.same(children.pids(), []);
});

test("many orphans are listed", async (t) => {
  await printedPid("for i in $(seq 40); do sleep 1000 >/dev/null & done; echo $!");
  const pids = children.pids();
  t.equal(pids.length, 40);
  t.same(new Set(pids), new Set(scanForChildren()));
  for (const pid of pids) process.kill(pid, "SIGKILL");
  await Promise.all(pids.map(untilGone));
  t.same(children.pids(), []);
});

test("orphans are reaped though a start hangs, whose child's code stays its own", async (t) => {
  const directory = mkdtempSync(`${tmpdir()}/supervisor-`);
  t.teardown(() => rmSync(directory, { recursive: true }));
  const program = `${directory}/sh`;
  copyFileSync("/bin/sh", program);
  const lease = await leaseOn(t, program);
  let hasStarted = false;
  const slow = supervisor.spawn({ ...shell("exit 9"), path: program }).finally(() => {
    hasStarted = true;
  });
  const orphan = await printedPid("(sleep 0.1 >/dev/null & echo $!)");
  await untilGone(orphan);
  t.equal(hasStarted, false, "meanwhile");
  await lease.release();
  t.same(await (await slow).exited, { code: 9, signal: null });
});

test("a process left behind is adopted, alive or dead", async (t) => {
  const claim = supervisor.claim();
  const alive = claim.adopt(await printedPid("(sleep 1000 >/dev/null & echo $!)"));
  t.equal(alive.signal(15), true);
  t.same(await alive.exited, { code: null, signal: 15 });

  const dead = await printedPid("(sh -c 'sleep 0.05; exit 42' >/dev/null & echo $!)");
  await untilGone(dead);
  t.match(await claim.adopt(dead).exited, { code: 42, signal: null });
  claim.release();

  const late = supervisor.claim();
  t.throws(() => late.adopt(dead), { code: "PROCESS_NOT_FOUND" });
  late.release();
});

test("every claim gets the code, whichever process came first", async (t) => {
  const lives = Array.from({ length: 30 }, async (_, code) => {
    const claim = supervisor.claim();
    try {
      const pid = await printedPid(`(sh -c 'sleep 0.0${code}; exit ${code}' >/dev/null & echo $!)`);
      return (await claim.adopt(pid).exited).code;
    } finally {
      claim.release();
    }
  });
  t.same(await Promise.all(lives), [...lives.keys()]);
});

test("children of Node's own are left to Node", async (t) => {
  const results = Array.from({ length: 40 }, async (_, code) => {
    // With an orphan each, so that there is always something to reap.
    const child: ChildProcess = nodeSpawn("sh", ["-c", `(sleep 0.01 &) ; exit ${code}`], { stdio: "ignore" });
    const [[exitCode], own] = await Promise.all([
      once(child, "exit"),
      supervisor.spawn(shell(`exit ${code}`)).then((process) => process.exited),
    ]);
    return [exitCode, own.code];
  });
  t.same(
    await Promise.all(results),
    [...results.keys()].map((code) => [code, code]),
  );
  t.equal((await run("sh", ["-c", "echo out"])).stdout, "out\n");
  await t.rejects(run("/proc/none/program"), { code: "ENOENT" });
});

test("a lost exit code is 255", (t) => {
  t.equal(exitCodeOf({ code: null, signal: null }), 255);
  t.end();
});

test("a background process outlives the shell in a new session with its stdio and directory", async (t) => {
  const directory = mkdtempSync(`${tmpdir()}/supervisor-`);
  const { readFd, writeFd } = pipe();
  const child = await supervisor.spawn({
    ...shell("pwd; echo $VALUE; cut -d' ' -f6 /proc/self/stat; echo $$"),
    cwd: directory,
    env: { VALUE: "given", PATH: process.env.PATH },
    stdio: [null, writeFd, null],
    newSession: true,
  });
  closeFd(writeFd);
  await child.exited;
  const pid = String(child.pid);
  t.same(readFileSync(readFd, "utf8").split("\n"), [directory, "given", pid, pid, ""]);
  closeFd(readFd);
  rmSync(directory, { recursive: true });
});

test("the end", (t) => {
  supervisor.close();
  children.close();
  t.end();
});
