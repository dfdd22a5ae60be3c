/** Containers that the service keeps, with the words of people who know Docker. */
import { once } from "node:events";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { spawn as spawnPty } from "node-pty";
import tap, { type Test, test } from "tap";
import { callJson } from "../../src/hcs/serve/client.ts";
import { rejection } from "../hcs/compute/support.ts";
import { TestService } from "../hcs/serve/support.ts";
import { LCOW } from "./lcow.ts";

tap.setTimeout(240_000);

const LOOP = ["/bin/sh", "-c", 'trap "exit 3" TERM; echo started; while :; do sleep 0.1; done'];

async function startService(t: Test): Promise<TestService> {
  const service = new TestService(t);
  await service.start();
  return service;
}

/** A keeper that has nothing to keep ends, a moment later. */
async function noKeeperIsLeft(t: Test, service: TestService): Promise<void> {
  for (const deadline = Date.now() + 30_000; service.keepers().length > 0 && Date.now() < deadline; )
    await new Promise((resolve) => setTimeout(resolve, 20));
  t.strictSame(readdirSync(`${service.directory}/k`), [], "no keeper is left");
}

test("run --detach, --name and --rm", async (t) => {
  const service = await startService(t);
  const name = (await service.ok("run", "-d", "--local", "--", ...LOOP)).trim();
  t.match(name, /^[0-9a-f]{12}$/);
  t.equal(await service.ok("list", "-q"), `${name}\n`);
  await service.ok("rm", "-f", name);

  const kept = await service.lcow([
    "run",
    "--local",
    "--name",
    "kept",
    "--",
    "/bin/sh",
    "-c",
    "echo hi; exit 5",
  ]);
  t.strictSame(kept, { status: 5, stdout: "hi\n", stderr: "" });
  t.match(await service.ok("ls"), /kept +Container +Stopped \(5\)/, "its exit code");
  t.equal(await service.ok("logs", "kept"), "hi\n");
  t.match(await service.lcow(["run", "--local", "--name", "kept", "--", "true"]), {
    status: 125,
    stderr: /SYSTEM_ALREADY_EXISTS/,
  });
  await service.ok("rm", "kept");

  const gone = [
    "run",
    "--local",
    "--rm",
    "--name",
    "gone",
    "--",
    "/bin/sh",
    "-c",
    "head -c 3000000 /dev/zero; exit 6",
  ];
  const ran = await service.lcow(gone);
  t.strictSame([ran.status, ran.stdout.length], [6, 3_000_000], "all of the output, and the exit code");
  const again = await service.lcow(gone);
  t.equal(again.status, 6, "its name is free again");
  // Its end takes longer than `wait` takes to ask for it, which nothing tells from outside.
  const slow = ["/bin/sh", "-c", "trap 'sleep 5; exit 3' TERM; while :; do sleep 0.1; done"];
  await service.ok("run", "-d", "--rm", "--local", "--name", "later", "--", ...slow);
  const waiting = service.ok("wait", "later");
  await service.ok("stop", "later");
  t.equal(await waiting, "3\n", "who waits is told");
  const failed = await service.lcow(["run", "-d", "--local", "--name", "bad", "--", "nonesuch"]);
  t.match(failed, { status: 127, stdout: "", stderr: /nonesuch/ });
  t.equal(await service.ok("list", "-q"), "", "what never ran is not kept");
  await noKeeperIsLeft(t, service);
});

test("several at once: each failure is told, the others are done", async (t) => {
  const service = await startService(t);
  for (const name of ["one", "two"]) await service.ok("create", "--local", name, "--", ...LOOP);
  t.equal(await service.ok("start", "one", "two"), "one\ntwo\n");
  const some = await service.lcow(["pause", "one", "none", "two"]);
  t.match(some, {
    status: 1,
    stdout: "",
    stderr: /^lcow: [^\n]*none does not exist \[SYSTEM_NOT_FOUND\]\n$/,
  });
  t.match(await service.ok("list"), /one +Container +Paused[\s\S]*two +Container +Paused/);
  await service.ok("unpause", "one", "two", "one");
  await service.ok("pause", "two", "two");
  await service.ok("resume", "two");
  t.match(await service.ok("stats"), /^NAME .*\none +[\d.]+ [KM]iB.*\ntwo /, "all that run");
  t.match(await service.lcow(["stats", "one", "none"]), { status: 1, stdout: /\none /, stderr: /none/ });
  t.match(JSON.parse(await service.ok("inspect", "one", "two")), [
    { Id: "one", State: "Running", Command: LOOP.join(" "), Processes: [{ init: true }] },
    { Id: "two" },
  ]);
  const twice = JSON.parse(await service.ok("inspect", "two", "one", "two"));
  t.strictSame(
    twice.map(({ Id }: { Id: string }) => Id),
    ["two", "one", "two"],
  );
  await service.ok("kill", "-s", "TERM", "one", "two");
  t.equal(await service.ok("wait", "one", "two", "one"), "3\n3\n3\n");
  t.equal(await service.ok("restart", "one", "two"), "one\ntwo\n", "stopped ones are started anew");
  await service.ok("stop", "-t", "20", "one");
  await service.ok("kill", "two");
  t.equal(await service.ok("wait", "two"), "137\n");
  t.match(await service.ok("list"), /one +Container +Stopped \(3\)[\s\S]*two +Container +Stopped \(137\)/);
  t.match(await service.lcow(["rm", "one", "none", "two"]), { status: 1, stderr: /none/ });
  t.equal(await service.ok("list", "-q"), "");
});

test("stop waits for as long as it was told, and no number makes it kill at once", async (t) => {
  const service = await startService(t);
  const slow = 'trap "sleep 1; exit 4" TERM; echo started; while :; do sleep 0.1; done';
  await service.ok("run", "-d", "--local", "--name", "slow", "--", "/bin/sh", "-c", slow);
  const follower = service.spawn(["logs", "-f", "slow"]);
  if (follower.stdout !== null) await once(follower.stdout, "data");
  await service.ok("stop", "--time-ms", "2147483647", "slow");
  t.equal(await service.ok("wait", "slow"), "4\n");
});

test("attach connects to what runs, with the input that stayed open; a restart is a new start", async (t) => {
  const service = await startService(t);
  await service.ok("run", "-d", "-i", "--local", "--name", "cat", "--", "/bin/sh", "-c", "cat; exit 7");
  t.match(await service.lcow(["attach", "cat"], "through"), { status: 7, stdout: "through", stderr: "" });
  t.match(await service.lcow(["attach", "cat"]), { status: 125, stderr: /does not run.*INVALID_STATE/ });
  await service.ok("restart", "cat");
  t.match(await service.lcow(["attach", "cat"], "again"), { status: 7, stdout: "again" });
  t.equal(await service.ok("logs", "cat"), "throughagain");
});

test("variables, files of them, and limits mean the same in run, create and exec", async (t) => {
  const service = await startService(t);
  const file = `${t.testdir()}/env`;
  writeFileSync(file, "\ufeff# of a test\r\nA=file\r\nB= as it is \r\nLCOW_NOT_SET\r\nHOME\r\n");
  const options = [
    "--env-file",
    file,
    "-e",
    "A=option",
    "-e",
    "LCOW_NOT_SET",
    "--hostname",
    "host-1",
    "-w",
    "/tmp",
  ];
  const show = 'echo "$A|$B|$HOME|$LCOW_NOT_SET|$(hostname)|$PWD|$(id -u)"';
  const wanted = `option| as it is |${process.env.HOME}||host-1|/tmp|12\n`;
  const limits = ["--memory", "50000k", "--cpus", "0.5", "-u", "12"];
  const made = [...options, ...limits, "--local"];
  t.equal(await service.ok("run", ...made, "--", "/bin/sh", "-c", show), wanted);
  t.equal(await service.ok("run", ...made, "--name", "kept", "--", "/bin/sh", "-c", show), wanted);
  await service.ok("create", ...made, "web", "--", ...LOOP);
  await service.ok("start", "web");
  const exec = ["exec", ...options.slice(0, 6), "-w", "/tmp", "web", "/bin/sh", "-c", show];
  t.equal(await service.ok(...exec), wanted);
  const [stats] = JSON.parse(await service.ok("stats", "--json", "web"));
  t.equal(stats.LCOWMetrics.memory.usage.limit, 49 * 1024 * 1024, "50000k, in whole MiB");
  const quota = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max";
  const run = ["run", "--local", "--cpus", "0.5", "--", "/bin/sh", "-c", quota];
  t.equal(await service.ok(...run), "50000\n");
  t.equal(await service.ok("exec", "web", "/bin/sh", "-c", quota), "50000\n");

  const other = await service.lcow([
    "run",
    "-d",
    "--local",
    "--name",
    "x",
    "--oci-runtime",
    "/bin/false",
    "--",
    "true",
  ]);
  t.match(other, { status: 125, stderr: /\[[A-Z_]+\]\n$/ }, "the service uses the runtime that it is told");
});

test("the service refuses a request without a name, and calls that it does not have", async (t) => {
  const service = await startService(t);
  const api = (method: string, path: string, body?: object) => callJson(service.socket, method, path, body);
  const document = { VirtualMachine: {} };
  for (const [method, path, body, code] of [
    ["GET", "/systems/", undefined, "INVALID_ARGUMENT"],
    ["GET", "/systems//logs", undefined, "INVALID_ARGUMENT"],
    ["DELETE", "/systems/", undefined, "INVALID_ARGUMENT"],
    ["GET", "/systems//wait", undefined, "INVALID_ARGUMENT"],
    ["DELETE", "/systems", undefined, "NOT_SUPPORTED"],
    ["GET", "/systems/%zz", undefined, "INVALID_ARGUMENT"],
    ["POST", "/systems", { id: "", document, driver: "local" }, "INVALID_ARGUMENT"],
    ["POST", "/systems", { id: "..", document, driver: "local" }, "INVALID_CONTAINER_ID"],
    ["POST", "/systems", { id: "a/b", document, driver: "local" }, "INVALID_CONTAINER_ID"],
    ["POST", "/systems", { id: "x", document, driver: "local", accelerator: "kvm" }, "NOT_SUPPORTED"],
    ["POST", "/systems", { id: "x", document, driver: "local", ociRuntime: "" }, "INVALID_JSON"],
  ] as const) {
    t.match(await rejection(api(method, path, body)), { code }, `${method} ${path}`);
  }
  t.strictSame(await api("GET", "/systems"), []);
  await noKeeperIsLeft(t, service);
  t.ok(existsSync(service.socket));
});

test("stats on a terminal is drawn anew until Ctrl-C", async (t) => {
  const service = await startService(t);
  await service.ok("run", "-d", "--local", "--name", "web", "--", ...LOOP);
  const pty = spawnPty(LCOW, ["stats"], {
    cols: 120,
    rows: 25,
    env: { ...process.env, LCOW_STATE_DIRECTORY: service.directory } as Record<string, string>,
  });
  t.teardown(() => pty.kill("SIGKILL"));
  const twice = Promise.withResolvers<void>();
  let shown = "";
  pty.onData((text) => {
    shown += text;
    if (shown.split("NAME ").length > 2) twice.resolve();
  });
  const ended = new Promise<number>((resolve) => pty.onExit(({ signal = 0 }) => resolve(signal)));
  await twice.promise;
  t.match(shown, /NAME .*\r\nweb /s);
  pty.write("\x03");
  t.equal(await ended, 2, "SIGINT");
  t.match(await service.ok("stats", "--no-stream"), /^NAME .*\nweb /);
});
