import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import type { Readable } from "node:stream";
import t, { test } from "tap";
import { eventually, memoryOf, resultOf, TestService } from "./support.ts";

t.setTimeout(240_000);

/** What `seq 1 COUNT` writes. */
function numbers(count: number): Buffer {
  return execFileSync("seq", ["1", String(count)], { maxBuffer: 2 ** 28 });
}
const sum = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

test("start --attach into a file, beyond what the log keeps", { timeout: 120_000 }, async (t) => {
  const service = new TestService(t);
  await service.start();
  // 17, 40 and 100 MB.
  for (const count of [2_250_000, 5_000_000, 12_000_000]) {
    const id = `c${count}`;
    await service.ok("create", "--local", id, "--", "/bin/seq", "1", String(count));
    const file = `${service.directory}/${id}`;
    const fd = openSync(file, "w");
    const child = service.spawn(["start", "-a", id], ["ignore", fd, "pipe"]);
    closeSync(fd);
    let said = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    const [code] = await once(child, "close");
    t.equal(code, 0);
    t.equal(said, "");
    const whole = numbers(count);
    t.equal(sum(readFileSync(file)), sum(whole), `${whole.length} bytes as they were written`);
    const log = Buffer.from((await service.lcow(["logs", id])).stdout);
    t.ok(log.length > 15 * 1024 * 1024, "the log has the files that are kept");
    t.equal(sum(log), sum(whole.subarray(whole.length - log.length)), "oldest first, up to the end");
    await service.ok("rm", id);
  }
});

/** Prints a pipeline's result: exit code of the first, then what the second prints. */
async function pipeline(service: TestService, first: string, second: string) {
  return await service.shell(`{ lcow ${first}; echo "exit $?" >&3; } | ${second}`);
}

const SLOW_READER = `python3 -c '
import os, sys, time, hashlib
h = hashlib.sha256()
while True:
    b = os.read(0, int(sys.argv[1]))
    if not b: break
    h.update(b); time.sleep(float(sys.argv[2]))
print(h.hexdigest())'`;

test("exec and its readers: slow, stopped, gone, full", { timeout: 120_000 }, async (t) => {
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "--local", "c", "--", "sleep", "1000");
  await service.ok("start", "c");

  const count = 450_000;
  const whole = numbers(count);
  const slow = await pipeline(service, `exec c seq 1 ${count}`, `${SLOW_READER} 65536 0.05`);
  t.strictSame(slow, { stdout: `${sum(whole)}\nexit 0\n`, stderr: "", status: 0 });
  // Slower than the limits of any drain, and with a child that holds the streams open.
  const slower = await pipeline(
    service,
    `exec c sh -c 'sleep 1000 & seq 1 35000; exit 3'`,
    `${SLOW_READER} 4096 0.15`,
  );
  t.strictSame(slower, { stdout: `${sum(numbers(35_000))}\nexit 3\n`, stderr: "", status: 0 });

  // Nobody reads: the process waits, and nobody's memory grows.
  const processes = [service.pid, ...service.keepers()];
  const before = processes.map(memoryOf);
  const stopped = service.spawn(["exec", "c", "sh", "-c", "yes | head -c 400000000; touch /tmp/done"]);
  await once(stopped.stdout as Readable, "readable");
  stopped.kill("SIGSTOP");
  for (let at = 0; at < 4; at++) {
    await service.ok("exec", "c", "true");
    for (const [index, pid] of processes.entries()) {
      t.ok(memoryOf(pid) - (before[index] ?? 0) < 64 * 1024 * 1024, `memory of process ${pid}`);
    }
  }
  t.match(await service.lcow(["exec", "c", "ls", "/tmp/done"]), { status: 1 });
  // It goes: the process goes on, as in docker.
  stopped.kill("SIGKILL");
  await eventually(async () => (await service.lcow(["exec", "c", "ls", "/tmp/done"])).status === 0);
  t.pass("what nobody reads any more runs to its end");

  // A reader that has seen enough ends what writes, as in any pipeline.
  const head = await pipeline(service, "exec c yes hello", "head -n 1");
  t.match(head, { stdout: /^hello\nexit \d+\n$/, stderr: "" });
  await eventually(async () => !(await service.ok("ps", "c")).includes("yes hello"));
  // The disk is full.
  const full = await service.shell("lcow exec c echo hello > /dev/full; echo exit $?");
  t.match(full, { stdout: /^exit (1|125)\n$/, stderr: /could not be written.*no space left/ });
  t.match(await service.shell("lcow exec c sh -c 'yes | head -c 4000000 >&2; exit 4' 2>/dev/full"), {
    status: 4,
  });
  t.equal(service.keeperLogs(), "", "no keeper complains of anything");
});

test("logs: both streams, lines, times, follow", { timeout: 120_000 }, async (t) => {
  const service = new TestService(t);
  await service.start();
  const script = "for i in $(seq 1 9); do echo out$i; echo err$i >&2; sleep 0.1; done; printf last";
  await service.ok("create", "--local", "c", "--", "/bin/sh", "-c", script);
  const started = Date.now();
  await service.ok("start", "c");
  const followed = await service.lcow(["logs", "-f", "c"]);
  const all = await service.lcow(["logs", "c"]);
  t.strictSame(followed, all);
  const lines = (prefix: string) =>
    Array.from({ length: 9 }, (_, index) => `${prefix}${index + 1}\n`).join("");
  t.strictSame(all, { status: 0, stdout: `${lines("out")}last`, stderr: lines("err") });

  t.strictSame(await service.lcow(["logs", "-n", "3", "c"]), {
    status: 0,
    stdout: "out9\nlast",
    stderr: "err9\n",
  });
  t.match(await service.lcow(["logs", "--tail", "0", "c"]), { status: 0, stdout: "", stderr: "" });
  t.strictSame(await service.lcow(["logs", "--tail", "all", "c"]), all);
  const timed = (await service.lcow(["logs", "-t", "c"])).stdout.split("\n");
  t.equal(timed.length, 10);
  for (const line of timed) {
    const [, time = "", text = ""] = /^(\S+) (.*)$/.exec(line) ?? [];
    t.match(text, /^(out\d|last)$/);
    t.ok(Date.parse(time) >= started && Date.parse(time) <= Date.now(), time);
  }
  const [middle = ""] = timed[4]?.split(" ") ?? [];
  t.equal(
    (await service.lcow(["logs", "--since", middle, "c"])).stdout,
    "out5\nout6\nout7\nout8\nout9\nlast",
  );
  t.equal((await service.lcow(["logs", "--since", "1h", "c"])).stdout, all.stdout);
  t.equal((await service.lcow(["logs", "--since", "2099-01-01", "c"])).stdout, "");
  for (const option of [
    ["--since", "yesterday"],
    ["--tail", "-1"],
    ["--tail", "1e3"],
    ["-n", ""],
  ]) {
    t.match(await service.lcow(["logs", ...option, "c"]), { status: 2 }, option.join(" "));
  }
  t.match(await pipeline(service, "logs c", "head -n 1"), {
    stdout: /^out1\nexit (0|141)\n$/,
    stderr: /^(err\d\n)+$/,
  });
});

test("logs --follow across the log's files, of many small writes and of large ones", {
  timeout: 120_000,
}, async (t) => {
  const service = new TestService(t);
  await service.start();
  // Line-buffered: a write for each line of the first ones. Only once somebody follows, since older files go.
  const begin = "echo begin; until [ -e /tmp/followed ]; do sleep 0.1; done";
  const script = `${begin}; i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done; seq 20000 5999999`;
  await service.ok("create", "--local", "c", "--", "/bin/sh", "-c", script);
  await service.ok("start", "c");
  const followed = service.spawn(["logs", "-f", "c"], ["ignore", "pipe", "inherit"]);
  const hash = createHash("sha256");
  followed.stdout?.on("data", (chunk: Buffer) => hash.update(chunk));
  if (followed.stdout) await once(followed.stdout, "data");
  await service.ok("exec", "c", "/bin/touch", "/tmp/followed");
  await once(followed, "close");
  const whole = execFileSync("seq", ["0", "5999999"], { maxBuffer: 2 ** 28 });
  t.equal(hash.digest("hex"), sum(Buffer.concat([Buffer.from("begin\n"), whole])));
  t.equal(service.keeperLogs(), "", "no warning of listeners that pile up");
});

test("a full disk loses the log, never the container", { timeout: 120_000 }, async (t) => {
  const service = new TestService(t);
  mkdirSync(`${service.directory}/k`);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "none", `${service.directory}/k`]);
  t.teardown(() => execFileSync("umount", ["-l", `${service.directory}/k`]));
  await service.start();
  const script = "echo first; seq 1 1000000; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo last";
  await service.ok("create", "--local", "c", "--", "/bin/sh", "-c", script);
  await service.ok("start", "c");
  const lost = async () => JSON.parse(await service.ok("list", "--json"))[0].LogBytesLost ?? 0;
  await eventually(async () => (await lost()) > 4_000_000);
  const early = await service.lcow(["logs", "c"]);
  t.match(early.stdout, /^first\n1\n2\n/);
  t.match(early.stderr, /\d+ bytes of output .*ENOSPC: no space left/);
  await service.ok("exec", "c", "touch", "/tmp/go");
  t.match(await service.lcow(["wait", "c"]), { status: 0, stdout: "0\n" }, "it has run to its end");
  const told = (await service.lcow(["logs", "c"])).stderr.matchAll(/(\d+) bytes of output/g);
  const sumOf = [...told].reduce((total, [, bytes]) => total + Number(bytes), 0);
  t.equal(sumOf, await lost(), "what is lost is told, all of it");
});

test("start --attach and signals, as under run", async (t) => {
  const service = new TestService(t);
  await service.start();
  const start = async (script: string, until: string) => {
    const id = `c${script.length}`;
    await service.ok("create", "--local", id, "--", "/bin/sh", "-c", script);
    const client = service.spawn(["start", "-a", id]);
    let shown = "";
    client.stdout?.on("data", (chunk: Buffer) => {
      shown += chunk;
    });
    const ended = resultOf(client);
    await eventually(() => shown.includes(until));
    return { client, ended, id };
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGUSR2"] as const) {
    const number = constants.signals[signal];
    const script = `trap 'echo got; exit ${number}' ${number}; echo up; while :; do sleep 0.05; done`;
    const { client, ended, id } = await start(script, "up");
    client.kill(signal);
    t.strictSame(await ended, { status: number, stdout: "up\ngot\n", stderr: "" }, signal);
    await service.ok("rm", id);
  }
  // The first is passed on, and after a while says what the second does.
  const { client, ended } = await start("trap '' 2; echo deaf; while :; do sleep 0.05; done", "deaf");
  let said = "";
  client.stderr?.on("data", (chunk: Buffer) => {
    said += chunk;
  });
  client.kill("SIGINT");
  await eventually(() => /Ctrl-C again kills it/.test(said));
  client.kill("SIGINT");
  t.match(await ended, { status: 137, stderr: /killing the command/ });
});
