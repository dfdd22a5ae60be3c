/** Parts that are killed or stopped in the middle of calls, and a disk that is full: who waits is told, and nothing stays. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, rmSync, watch } from "node:fs";
import type { Readable } from "node:stream";
import t, { type Test, test } from "tap";
import { agentOf, tracesOf } from "./agents.ts";
import { eventually, isAlive, resultOf, TestService } from "./support.ts";

t.setTimeout(300_000);
// Most of the time is spent waiting for who does not answer.
t.jobs = 3;

const LOOP = "trap '' USR1; trap 'exit 4' TERM; echo up; while :; do sleep 0.1; done";
const GONE = /\[(DIAL_FAILED|TRANSPORT_CLOSED)\]/;

async function running(t: Test) {
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "--local", "c", "--", "sh", "-c", LOOP);
  await service.ok("start", "c");
  const agent = agentOf(service);
  const [keeper = 0] = service.keepers();
  return { service, agent, keeper, traces: tracesOf(agent) };
}

/** Connections that somebody has to a socket; its name is that of the accepted ends. */
function connections(socket: string): number {
  const lines = readFileSync("/proc/net/unix", "utf8").split("\n");
  // 00010000 is the one that listens; 01 and 03 are the types and states of connected streams: proc_net(5).
  return lines.filter((line) => line.endsWith(` ${socket}`) && / 0001 03 /.test(line)).length;
}

/** Commands that are under way in the service. */
async function underWay(service: TestService, commands: readonly (readonly string[])[]) {
  const results = commands.map((words) => resultOf(service.spawn(words)));
  await eventually(() => connections(service.socket) >= commands.length);
  return results;
}

const CALLS = [
  ["exec", "c", "sh", "-c", "echo no"],
  ["exec", "-d", "c", "true"],
  ["wait", "c"],
  ["stop", "c"],
  ["pause", "c"],
  ["stats", "c"],
  ["signal", "c", "USR1"],
] as const;

test("the service is killed in the middle of each call", { buffered: true }, async (t) => {
  const { service, keeper, traces } = await running(t);
  await service.ok(
    "create",
    "--local",
    "d",
    "--",
    "sh",
    "-c",
    "trap 'echo told' TERM; while :; do sleep 0.1; done",
  );
  await service.ok("start", "d");
  const stopping = service.lcow(["stop", "-t", "100", "d"]);
  await eventually(async () => (await service.ok("logs", "d")) === "told\n");
  process.kill(keeper, "SIGSTOP");
  const results = await underWay(service, CALLS);
  await service.stop("SIGKILL");
  for (const [index, result] of (await Promise.all(results)).entries()) {
    t.match(result, { stdout: "", stderr: GONE }, CALLS[index]?.join(" ") ?? "");
    t.match(String(result.status), /^(1|125)$/);
  }
  t.match(await stopping, { status: 125, stderr: GONE }, "it has not been stopped");
  process.kill(keeper, "SIGCONT");
  await service.start();
  await service.ok("rm", "--force", "d");
  t.match(await service.ok("list"), /^c +Container +(Running|Paused|Stopped)/m, "the system is there");
  await service.lcow(["resume", "c"]);
  await service.lcow(["stop", "c"]);
  t.equal(await service.ok("wait", "c"), "4\n", "and its own exit code");
  t.equal(await service.ok("logs", "c"), "up\n");
  await service.ok("rm", "c");
  t.strictSame(traces(), []);
});

test("the service is killed in the middle of create, as its keeper starts and as it is ready", {
  buffered: true,
}, async (t) => {
  const service = new TestService(t);
  const keepers = `${service.directory}/k`;
  for (const stage of ["", "socket"]) {
    await service.start();
    const found = Promise.withResolvers<void>();
    const look = () => {
      if (readdirSync(keepers).some((name) => existsSync(`${keepers}/${name}/${stage}`))) found.resolve();
    };
    const watcher = watch(service.directory, { recursive: true }, look);
    const creating = service.lcow(["create", "--local", "c", "--", "true"]);
    await found.promise;
    await service.stop("SIGKILL");
    watcher.close();
    // The last step may be done by then: who is told so finds the system, and else there may be one or none.
    const created = await creating;
    if (created.status !== 0) t.match(created, { status: 125, stdout: "", stderr: GONE }, stage);
    await service.start();
    const listed = await service.ok("list", "-q");
    if (created.status === 0) t.equal(listed, "c\n", "what was told is true");
    if (listed === "c\n") await service.ok("rm", "c");
    else t.equal(listed, "");
    t.equal(await service.ok("create", "--local", "c", "--", "true"), "c\n");
    await service.ok("rm", "c");
    await eventually(() => service.keepers().length === 0 && readdirSync(keepers).length === 0);
    await service.stop();
  }
});

test("the keeper is killed in the middle of each call: all is gone, without a further call", {
  buffered: true,
}, async (t) => {
  const { service, agent, keeper, traces } = await running(t);
  const attached = service.spawn(["attach", "c"]);
  const told = resultOf(attached);
  const client = service.spawn(["exec", "c", "sh", "-c", "echo on; sleep 1000"]);
  const executed = resultOf(client);
  await once(client.stdout as Readable, "data");
  process.kill(agent, "SIGSTOP");
  // A pause that is under way refuses others.
  const calls = CALLS.filter(([verb]) => verb !== "pause" && verb !== "stop");
  const results = await underWay(service, calls);
  process.kill(keeper, "SIGKILL");
  for (const result of await Promise.all([...results, told])) {
    t.match(result, { stdout: "", stderr: /\[(TRANSPORT_CLOSED|TIMEOUT|SYSTEM_NOT_FOUND)\]/ });
    t.not(result.status, 0);
  }
  t.match(await executed, { status: 125, stdout: "on\n", stderr: /how the process ended is unknown/ });
  await eventually(() => readdirSync(`${service.directory}/k`).length === 0);
  t.notOk(isAlive(agent));
  t.strictSame(traces(), []);
  t.equal(await service.ok("list", "-q"), "");
  t.match(await service.lcow(["wait", "c"]), { stdout: "", stderr: /SYSTEM_NOT_FOUND/ });
});

test("the service is stopped, then the keeper: who waits is told since when, and streams go on after it", {
  buffered: true,
}, async (t) => {
  const { service, keeper } = await running(t);
  const script = 'echo on; read line; echo "got $line"; exit 6';
  const client = service.spawn(["exec", "-i", "c", "sh", "-c", script]);
  let said = "";
  client.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const ended = resultOf(client);
  await once(client.stdout as Readable, "data");
  const waiting = service.lcow(["wait", "c"]);
  process.kill(service.pid, "SIGSTOP");
  const silence = /the compute service at \S+ has not answered since 20\S+Z \(\d+ seconds\); .*\[TIMEOUT\]/;
  for (const result of await Promise.all([
    waiting,
    service.lcow(["list"]),
    service.lcow(["exec", "c", "true"]),
  ]))
    t.match(result, { stdout: "", stderr: silence });
  await eventually(() => /the compute service has not answered since/.test(said));
  process.kill(service.pid, "SIGCONT");
  await eventually(() => /answer again/.test(said));
  process.kill(keeper, "SIGSTOP");
  await eventually(() => /the keeper of the system has not answered since/.test(said));
  process.kill(keeper, "SIGCONT");
  await eventually(() => /answer again.*answer again/s.test(said));
  client.stdin?.end("it\n");
  t.match(await ended, { status: 6, stdout: "on\ngot it\n" });
  await service.ok("rm", "--force", "c");
});

test("the disk under the state is full: nothing half-made, and what runs runs on", {
  buffered: true,
}, async (t) => {
  const service = new TestService(t);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=512k,mode=700", "lcow-test", service.directory]);
  t.teardown(() => execFileSync("umount", ["--lazy", service.directory]));
  await service.start();
  await service.ok("create", "--local", "c", "--", "sh", "-c", LOOP);
  await service.ok("start", "c");
  const fill = `${service.directory}/k/fill`;
  execFileSync("sh", ["-c", `cat /dev/zero > ${fill} 2>/dev/null || true`]);
  const failed = await service.lcow(["create", "--local", "d", "--", "true"]);
  t.match(failed, { status: 125, stdout: "", stderr: /no space left|ENOSPC/i });
  t.equal(await service.ok("list", "-q"), "c\n");
  t.equal(service.keepers().length, 1, "no keeper stays of it");
  t.equal(await service.ok("exec", "c", "echo", "still here"), "still here\n");
  await service.ok("stop", "c");
  t.equal(await service.ok("wait", "c"), "4\n");
  await service.ok("rm", "c");
  rmSync(fill);
  await service.ok("create", "--local", "d", "--", "true");
  await service.ok("rm", "d");
});
