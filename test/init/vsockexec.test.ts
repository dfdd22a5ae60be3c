import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Test, test } from "tap";
import { LogHost } from "./log-host.ts";

const root = path.resolve(import.meta.dirname, "../..");
const program = path.join(root, "native/init/out/vsockexec");
execFileSync("make", ["-s", "-C", path.join(root, "native/init")]);

function setUp(t: Test): { host: LogHost; start: (...args: string[]) => ChildProcess & Ended } {
  const host = new LogHost();
  const children: ChildProcess[] = [];
  t.teardown(async () => {
    for (const child of children) child.kill("SIGKILL");
    await host.close();
  });
  const start = (...args: string[]) => {
    const env = { ...process.env, GCS_TRANSPORT: `unix:${host.prefix}` };
    const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    children.push(child);
    return Object.assign(child, { ended: ended(child) });
  };
  return { host, start };
}

interface Ended {
  readonly ended: Promise<{ code: number | null; signal: string | null; stdout: string; stderr: string }>;
}

async function ended(child: ChildProcess): Ended["ended"] {
  let [stdout, stderr] = ["", ""];
  child.stdout?.on("data", (chunk) => (stdout += chunk));
  child.stderr?.on("data", (chunk) => (stderr += chunk));
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  return { code, signal, stdout, stderr };
}

/** No event tells what another process has sent; bounded by the test's own time-out. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(10);
}

/** Every line that arrived was sent whole: `line N`, N rising, or the notice of dropped bytes. */
function checkLines(t: Test, text: string): { numbers: number[]; dropped: number } {
  const lines = text.split("\n");
  t.equal(lines.pop(), "", "ends with a whole line");
  const numbers: number[] = [];
  let dropped = 0;
  for (const line of lines) {
    const number = /^line (\d+) x*$/.exec(line)?.[1];
    if (number !== undefined) numbers.push(Number(number));
    else {
      const notice = JSON.parse(line) as { level: string; bytes: number; time: string; msg: string };
      t.match(notice, { level: "warning", msg: /dropped/, time: /^\d{4}-.*\.\d{9}Z$/ });
      dropped += notice.bytes;
    }
  }
  return { numbers, dropped };
}

/** A program that logs `count` lines of 100 bytes to stderr. */
const logger = (count: number) => [
  "awk",
  `BEGIN { x = sprintf("%085d", 0); gsub("0", "x", x); for (i = 1; i <= ${count}; i++) print "line " i " " x > "/dev/stderr" }`,
];

test("connects the named streams and becomes the program", async (t) => {
  const { host, start } = setUp(t);
  await host.listen(109);
  await host.listen(110);
  const result = await start("-e", "109", "-o", "110", "sh", "-c", "echo out; echo err >&2; exit 7").ended;
  t.match(result, { code: 7, stdout: "", stderr: "" });
  await until(() => host.received.join("").length === 8);
  t.same([...host.received].sort(), ["err\n", "out\n"]);
});

test("one port for two streams is one connection", async (t) => {
  const { host, start } = setUp(t);
  await host.listen(109);
  t.match(await start("-o", "109", "-e", "109", "sh", "-c", "echo out; echo err >&2").ended, { code: 0 });
  await until(() => host.received.join("").length === 8);
  t.same(host.received, ["out\nerr\n"]);
});

test("the program inherits no further descriptors", async (t) => {
  const { host, start } = setUp(t);
  await host.listen(109);
  await host.listen(110);
  await start("-i", "110", "-o", "109", "-e", "109", "sh", "-c", "ls /proc/self/fd").ended;
  await until(() => host.received.join("").includes("3"));
  const without = execFileSync("sh", ["-c", "ls /proc/self/fd"], { stdio: ["ignore", "pipe", "ignore"] });
  t.equal(host.received.join(""), without.toString());
});

test("without -r a port that nobody listens on is an error that names it", async (t) => {
  const { start } = setUp(t);
  const result = await start("-e", "109", "true").ended;
  t.equal(result.code, 1);
  t.match(result.stderr, /port 109: No such file/);
});

test("without -r a host that listens and accepts nobody is an error in time", async (t) => {
  const { host, start } = setUp(t);
  const script = `require("net").createServer().listen({ path: process.argv[1], backlog: 1 }, () => console.log("listens"))`;
  const listener = spawn(process.execPath, ["-e", script, `${host.prefix}_109`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.teardown(() => listener.kill("SIGKILL"));
  await once(listener.stdout, "data");
  listener.kill("SIGSTOP");
  const dials: Socket[] = [];
  for (let error: unknown; error === undefined; ) {
    const socket = connect(`${host.prefix}_109`);
    dials.push(socket.on("error", () => undefined));
    error = await once(socket, "connect").then(
      () => undefined,
      (refusal: unknown) => refusal,
    );
  }
  const result = await start("-e", "109", "echo", "never").ended;
  t.match(result, { code: 1, stdout: "", stderr: /port 109: Connection timed out/ });
  for (const socket of dials) socket.destroy();
});

test("wrong usage is refused", async (t) => {
  const { start } = setUp(t);
  t.match(await start("-e", "109").ended, { code: 1, stderr: /no program/ });
  for (const port of ["12x", "", " 12", "+12", "-18446744073709551604", "4294967296", "1e3"])
    t.match(await start("-e", port, "true").ended, { code: 1, stderr: `-e ${port} is no port` });
  t.match(await start("-r", "true").ended, { code: 1, stderr: /-r needs/ });
  t.match(await start("/proc/none/program").ended, { code: 127, stderr: /proc\/none\/program/ });
});

test("-r: without a host the program runs as if nothing were wrong", async (t) => {
  const { start } = setUp(t);
  // Three times what is kept, so that the pipe would block or break if nobody emptied it.
  const result = await start("-r", "-e", "109", "sh", "-c", `${shell(logger(40_000))}; exit 7`).ended;
  t.match(result, { code: 7, signal: null });
});

test("-r: the exit status of a killed program is 128 and its signal", async (t) => {
  const { start } = setUp(t);
  t.match(await start("-r", "-e", "109", "sh", "-c", "kill -KILL $$").ended, { code: 137 });
  t.match(await start("-r", "-e", "109", "/proc/none/program").ended, { code: 127 });
});

test("-r: SIGTERM reaches the program", async (t) => {
  const { host, start } = setUp(t);
  await host.listen(109);
  const child = start(
    "-r",
    "-e",
    "109",
    "sh",
    "-c",
    "trap 'exit 9' TERM; echo ready >&2; while :; do sleep 0.1; done",
  );
  await until(() => host.received.join("") === "ready\n");
  child.kill("SIGTERM");
  t.match(await child.ended, { code: 9 });
});

test("-r: a host that comes late gets what was kept, then is told what was dropped", async (t) => {
  const { host, start } = setUp(t);
  const [done, go] = [`${host.prefix}.done`, `${host.prefix}.go`];
  const script = `${shell(logger(40_000))}; : > ${done}; until [ -e ${go} ]; do sleep 0.05; done; echo line 50000 >&2`;
  const child = start("-r", "-e", "109", "sh", "-c", script);
  await until(() => existsSync(done));
  await host.listen(109);
  await until(() => host.received.join("").length > 900_000);
  writeFileSync(go, "");
  t.match(await child.ended, { code: 0 });
  await until(() => host.received.join("").endsWith("line 50000\n"));
  const { numbers, dropped } = checkLines(t, host.received.join("").replace("line 50000\n", "line 50000 \n"));
  t.equal(numbers.pop(), 50_000);
  t.same(
    numbers,
    Array.from(numbers, (_, i) => i + 1),
    "the first ones, none missing",
  );
  const all = Array.from({ length: 40_000 }, (_, i) => `line ${i + 1} `.length + 86);
  const missing = all.slice(numbers.length).reduce((sum, length) => sum + length, 0);
  t.equal(dropped, missing, "each dropped byte is counted");
});

test("-r: a line that the old host got a part of, the new host gets whole", async (t) => {
  const { host, start } = setUp(t);
  let first = "";
  host.onConnection = (socket) => {
    host.onConnection = (next) => host.collect(next);
    socket.once("data", (chunk) => {
      first = chunk.toString();
      socket.destroy();
    });
  };
  await host.listen(109);
  const child = start("-r", "-e", "109", ...logger(20_000));
  t.match(await child.ended, { code: 0 });
  await until(() => host.received.join("").includes("line 20000 "));
  const { numbers, dropped } = checkLines(t, host.received.join(""));
  t.equal(dropped, 0);
  const whole = first.split("\n").length - 1;
  t.ok((numbers[0] ?? 0) > whole, "what the first host has got whole is not sent twice");
  t.same(
    numbers,
    Array.from(numbers, (_, i) => (numbers[0] ?? 0) + i),
    "and then all, in order",
  );
  t.match(first, /^line 1 x/);
});

test("-r: what was dropped is told between lines, not inside one that is longer than what is kept", async (t) => {
  const { host, start } = setUp(t);
  const [cut, go] = [`${host.prefix}.cut`, `${host.prefix}.go`];
  const bytes = (letter: string, count: number) => `head -c ${count} /dev/zero | tr '\\0' ${letter} >&2`;
  // The first host reads more of a line than is kept, then nothing; the second gets the next line, as long, and has
  // always read what there is.
  const second = `i=0; while [ $i -lt 30 ]; do i=$((i+1)); ${bytes("b", 50_000)}; sleep 0.01; done; echo >&2`;
  const script = `${bytes("a", 1_900_000)}; printf '\nb' >&2; : > ${cut}; until [ -e ${go} ]; do sleep 0.05; done; ${second}`;
  let first = 0;
  host.onConnection = (socket) => {
    host.onConnection = (next) => host.collect(next);
    socket.on("data", (chunk) => {
      first += chunk.length;
      if (first > 1_200_000) socket.pause();
    });
    void until(() => existsSync(cut)).then(() => socket.destroy());
  };
  await host.listen(109);
  const child = start("-r", "-e", "109", "sh", "-c", script);
  await until(() => host.received[0]?.startsWith("b") === true);
  writeFileSync(go, "");
  t.match(await child.ended, { code: 0 });
  await until(() => /"bytes":.*\n$/s.test(host.received.join("")));
  const [line = "", notice = "", end] = host.received.join("").split("\n");
  t.match(line, /^b*$/, `the line is whole: ${line.replaceAll(/bb+/g, "b...")}`);
  t.equal(line.length, 1_500_001);
  t.match(JSON.parse(notice), { level: "warning", msg: /dropped/ }, "then the notice");
  t.equal(end, "");
});

test("-r: the relay stays until the host has read the last line, so that no machine goes off before", async (t) => {
  const { host, start } = setUp(t);
  const order: string[] = [];
  host.onConnection = (socket) => {
    // No event tells that the relay would have ended by now; before it waited for the host it did at once.
    setTimeout(() => socket.on("data", (text: Buffer) => order.push(`read ${text}`)), 300);
  };
  await host.listen(109);
  const result = await start("-r", "-e", "109", "sh", "-c", "echo last words >&2; exit 3").ended;
  order.push("relay ended");
  t.equal(result.code, 3);
  t.same(order, ["read last words\n", "relay ended"]);
});

test("-r: a host that reads slowly gets every line", async (t) => {
  const { host, start } = setUp(t);
  host.onConnection = (socket) => {
    host.collect(socket);
    const pauseEach = setInterval(() => {
      socket.pause();
      setTimeout(() => socket.resume(), 20);
    }, 25);
    socket.on("close", () => clearInterval(pauseEach));
  };
  await host.listen(109);
  t.match(await start("-r", "-e", "109", ...logger(100_000)).ended, { code: 0 });
  await until(() => host.received.join("").includes("line 100000 "));
  const { numbers, dropped } = checkLines(t, host.received.join(""));
  t.equal(dropped, 0);
  t.equal(numbers.length, 100_000);
});

test("-r: a host that stops reading holds the program up for no more than a moment", async (t) => {
  const { host, start } = setUp(t);
  host.onConnection = (socket) => socket.pause();
  await host.listen(109);
  t.match(await start("-r", "-e", "109", ...logger(100_000)).ended, { code: 0 });
});

test("-r: dialling again and again leaks no descriptor", async (t) => {
  const { start } = setUp(t);
  const child = start("-r", "-e", "109", "-o", "110", "sleep", "1000");
  const count = () => readdirSync(`/proc/${child.pid}/fd`).length;
  await until(() => count() > 3);
  const counts: number[] = [];
  for (let i = 0; i < 150; i++) {
    counts.push(count());
    await delay(10);
  }
  child.kill("SIGTERM");
  t.match(await child.ended, { code: 143 });
  t.ok(
    Math.max(...counts) <= 3 + 2 + 1 + 2,
    `at most stdio, pipes, pidfd and two dials: ${Math.max(...counts)}`,
  );
});

function shell(command: readonly string[]): string {
  return command.map((word) => `'${word}'`).join(" ");
}
