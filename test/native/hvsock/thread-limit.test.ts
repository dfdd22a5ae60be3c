/** The addon where the machine gives it no more threads: an error, and everything works once there is room again. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { type Test, test } from "tap";
import { detectCgroupLayout } from "../../../src/linux/cgroups/layout.ts";

const addon = new URL("../../../native/hvsock/index.ts", import.meta.url).href;

/** Tries each thing that begins with a thread, first without room for one; told as JSON. */
const PROGRAM = `
import { closeFd, pipe, readInRoot, spawn, startRelay, startThreads, waitPidfd } from ${JSON.stringify(addon)};
import { once } from "node:events";
const { readdirSync, promises } = await import("node:fs");
const isPrepared = process.argv[1] === "prepared";
if (isPrepared) startThreads();
const attempts = {
  spawn: async () => {
    const { pid, pidfd } = await spawn({ path: "/bin/true" });
    closeFd(pidfd);
    return pid > 0;
  },
  relay: async () => {
    const [from, to] = [pipe(), pipe()];
    closeFd(from.writeFd);
    try {
      return (await startRelay({ source: from.readFd, sink: to.writeFd }).ended).reason === "eof";
    } finally {
      closeFd(to.readFd);
    }
  },
  file: async () => (await readInRoot("/", "etc/passwd", 1 << 20)).size > 0,
  ...(isPrepared && { node: async () => (await promises.stat("/")).isDirectory() }),
};
const tryAll = async () => {
  const told = {};
  for (const [name, attempt] of Object.entries(attempts)) {
    try {
      told[name] = await attempt();
    } catch (error) {
      told[name] = [error.code, error.cause?.code ?? ""].join(" ").trim();
    }
  }
  return told;
};
const hear = async (what) => {
  process.stdout.write(JSON.stringify(what) + "\\n");
  await once(process.stdin, "data");
};
process.on("SIGUSR2", () => process.stdout.write('"signal"\\n'));
await hear("ready");
const before = readdirSync("/proc/self/fd").length;
const without = await tryAll();
const left = readdirSync("/proc/self/fd").length - before;
await hear({ ...without, left });
console.log(JSON.stringify(await tryAll()));
process.exit(0);
`;

/** The program in a control group of its own, as far as "ready", and then with room for no other thread. */
async function withoutThreads(t: Test, ...args: string[]) {
  const layout = detectCgroupLayout();
  const mount =
    layout.mounts.find(({ controllers }) => controllers.includes("pids")) ??
    layout.mounts.find(({ unified }) => unified);
  if (mount === undefined) throw new Error("this machine has no pids controller");
  const cgroup = `${mount.mountPoint}/hvsock-test-${process.pid}`;
  mkdirSync(cgroup);
  const child = spawn(process.execPath, ["--input-type=module", "-e", PROGRAM, ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null && child.kill("SIGKILL"))
      await once(child, "exit");
    rmdirSync(cgroup);
  });
  const lines = child.stdout.setEncoding("utf8")[Symbol.asyncIterator]();
  const next = async () => JSON.parse((await lines.next()).value as string) as unknown;
  t.equal(await next(), "ready");
  writeFileSync(`${cgroup}/cgroup.procs`, String(child.pid));
  if (!existsSync(`${cgroup}/pids.max`)) throw new Error(`${cgroup} has no pids.max`);
  writeFileSync(`${cgroup}/pids.max`, readFileSync(`${cgroup}/pids.current`, "utf8").trim());
  return { child, next, cgroup };
}

test("no thread can be made: an error each time, nothing is left, and the next attempt works", async (t) => {
  const { child, next, cgroup } = await withoutThreads(t);
  child.stdin.write("go\n");
  t.same(await next(), { spawn: "SPAWN_FAILED EAGAIN", relay: "EAGAIN", file: "EAGAIN", left: 0 });
  child.kill("SIGUSR2");
  t.equal(await next(), "signal", "signals are heard as before");
  writeFileSync(`${cgroup}/pids.max`, "max");
  child.stdin.write("go\n");
  t.same(await next(), { spawn: true, relay: true, file: true });
  await once(child, "exit");
});

test("threads that were made in time: what needs no new process goes on without room for one more", async (t) => {
  const { child, next, cgroup } = await withoutThreads(t, "prepared");
  child.stdin.write("go\n");
  // A new process takes room, too; the thread that makes it is there.
  t.same(await next(), { spawn: "SPAWN_FAILED EAGAIN", relay: true, file: true, node: true, left: 0 });
  writeFileSync(`${cgroup}/pids.max`, "max");
  child.stdin.write("go\n");
  t.same(await next(), { spawn: true, relay: true, file: true, node: true });
  await once(child, "exit");
});

test("what is given to a new program is whole, or refused", async (t) => {
  const { spawn: start } = await import("../../../native/hvsock/index.ts");
  const refused = {
    code: "SPAWN_FAILED",
    cause: { message: /must not hold NUL bytes|must hold fds or null/ },
  };
  for (const wrong of [
    { path: "/bin/true", cwd: "/tmp\0/x" },
    { path: "/bin/true\0x" },
    { path: "/bin/true", args: ["true", "a\0b"] },
    { path: "/bin/true", env: { A: "b\0c" } },
    { path: "/bin/true", stdio: [Number.NaN, null, null] },
    { path: "/bin/true", stdio: [1.5, null, null] },
  ] as const)
    await t.rejects(start(wrong as unknown as Parameters<typeof start>[0]), refused);
});
