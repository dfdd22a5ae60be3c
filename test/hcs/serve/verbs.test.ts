import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import { spawn as spawnPty } from "node-pty";
import { test } from "tap";
import { TestService } from "./support.ts";

const LOOP = 'echo started; trap "echo ending; exit 3" TERM; while :; do sleep 0.1; done';

test("create, start, list, ps, stats, logs, exec, signal, pause, resume, stop, wait, rm", async (t) => {
  const service = new TestService(t);
  await service.start();
  const create = ["create", "--local", "--memory", "64m", "-e", "A=1", "one", "--", "/bin/sh", "-c", LOOP];
  t.equal(await service.ok(...create), "one\n");
  t.match(await service.ok("list"), /^NAME +TYPE +STATE[^\n]*\none +Container +Created/);
  t.equal(await service.ok("start", "one"), "one\n");
  const [listed] = JSON.parse(await service.ok("list", "--json"));
  t.match(listed, { Id: "one", State: "Running", SystemType: "Container", Command: `/bin/sh -c ${LOOP}` });
  t.equal(await service.ok("list", "--names"), "one\n");

  const processes = JSON.parse(await service.ok("ps", "--json", "one"));
  t.match(processes[0], { init: true, pid: Number });
  t.match(await service.ok("ps", "one"), /^PID +KIND +STATE +COMMAND\n\d+ +init +running +\/bin\/sh/);
  t.match(await service.ok("stats", "one"), /^NAME +MEMORY.*\none +[\d.]+ [KM]iB/);
  const [stats] = JSON.parse(await service.ok("stats", "--json", "one"));
  t.ok(stats.Statistics.Memory.MemoryUsageCommitBytes > 0);
  t.equal(stats.LCOWMetrics.memory.usage.limit, 64 * 1024 * 1024);

  const exec = await service.lcow([
    "exec",
    "one",
    "--",
    "/bin/sh",
    "-c",
    "echo out $A; echo err >&2; exit 5",
  ]);
  t.strictSame(exec, { status: 5, stdout: "out 1\n", stderr: "err\n" });
  t.match(await service.lcow(["exec", "-i", "one", "cat"], "through"), { status: 0, stdout: "through" });
  const inVm = await service.ok("exec", "--in-vm", "one", "/bin/ls", service.directory);
  t.match(inVm, "socket", "without a machine the guest is this one");
  const detached = (await service.ok("exec", "-d", "one", "sleep", "1000")).trim();
  t.match(await service.ok("ps", "one"), new RegExp(`${detached} +exec +running +sleep 1000`));
  await service.ok("signal", "one", "KILL", detached);
  t.match(await service.ok("ps", "--all", "one"), new RegExp(`${detached} +exec +exited 137 +sleep 1000`));
  t.match(await service.lcow(["signal", "one", "TERM", detached]), { status: 125, stderr: /has exited/ });

  await service.ok("pause", "one");
  t.match(await service.ok("list"), /one +Container +Paused/);
  t.match(await service.lcow(["pause", "one"]), { status: 125, stderr: /INVALID_STATE/ });
  await service.ok("resume", "one");
  t.match(await service.lcow(["rm", "one"]), { status: 125, stderr: /stop it first/ });

  const follower = service.spawn(["logs", "--follow", "one"]);
  let followed = "";
  follower.stdout?.setEncoding("utf8").on("data", (text: string) => {
    followed += text;
  });
  const followerEnd = once(follower, "close");
  const waiting = service.ok("wait", "one");
  await service.ok("stop", "one");
  t.equal(await waiting, "3\n");
  await followerEnd;
  t.equal(followed, "started\nending\n");
  t.equal(await service.ok("logs", "one"), "started\nending\n");
  t.match(JSON.parse(await service.ok("list", "--json")), [{ State: "Stopped", ExitType: "GracefulExit" }]);
  await service.ok("stop", "one");
  await service.ok("rm", "one");
  t.strictSame(JSON.parse(await service.ok("list", "--json")), []);
  for (const deadline = Date.now() + 30_000; service.keepers().length > 0 && Date.now() < deadline; )
    await new Promise((resolve) => setTimeout(resolve, 20));
  t.strictSame(service.keepers(), [], "its keeper goes with it");
  t.strictSame(readdirSync(`${service.directory}/k`), []);
});

test("start --attach, rm --force, stop by force, terminals", async (t) => {
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "--local", "-i", "attached", "--", "/bin/sh", "-c", "cat; exit 6");
  t.match(await service.lcow(["start", "-ai", "attached"], "input"), { status: 6, stdout: "input" });
  t.equal(await service.ok("logs", "attached"), "input", "the log has it as well");
  await service.ok("rm", "attached");

  await service.ok(
    "create",
    "--local",
    "stubborn",
    "--",
    "/bin/sh",
    "-c",
    "trap '' TERM; while :; do sleep 0.1; done",
  );
  await service.ok("start", "stubborn");
  await service.ok("pause", "stubborn");
  await service.ok("stop", "--time-ms", "1", "stubborn");
  t.match(JSON.parse(await service.ok("list", "--json")), [{ Id: "stubborn", ExitType: "ForcedExit" }]);
  await service.ok("create", "--local", "other", "--", "sleep", "1000");
  await service.ok("start", "other");
  await service.ok("rm", "--force", "stubborn", "other");
  t.equal(await service.ok("list", "--names"), "");

  await service.ok("create", "--local", "term", "--", "sleep", "1000");
  await service.ok("start", "term");
  const lcow = new URL("../../../bin/lcow", import.meta.url).pathname;
  const options = {
    cols: 90,
    rows: 25,
    env: { ...process.env, LCOW_STATE_DIRECTORY: service.directory } as Record<string, string>,
  };
  const pty = spawnPty(lcow, ["exec", "-it", "term", "/bin/sh"], options);
  let shown = "";
  const shows = async (text: string) => {
    for (const deadline = Date.now() + 60_000; !shown.includes(text) && Date.now() < deadline; )
      await new Promise((resolve) => setTimeout(resolve, 20));
    t.match(shown, text);
  };
  pty.onData((text) => {
    shown += text;
  });
  const ended = new Promise<number>((resolve) => pty.onExit(({ exitCode }) => resolve(exitCode)));
  await shows("#");
  pty.write("stty size; tty\r");
  await shows("25 90");
  await shows("/dev/pts/");
  pty.write("exit 7\r");
  t.equal(await ended, 7);
});

test("systems outlive the service and are found again", async (t) => {
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "--local", "survivor", "--", "/bin/sh", "-c", LOOP);
  await service.ok("start", "survivor");
  t.equal(await service.stop(), 0);
  t.match(await service.lcow(["list"]), { status: 125, stderr: /start the service with: lcow serve/ });
  t.notOk(existsSync(service.socket));
  await service.start();
  t.match(await service.ok("list"), /survivor +Container +Running/);
  await service.stop("SIGKILL");
  await service.start();
  t.equal(await service.ok("exec", "survivor", "echo", "alive"), "alive\n");
  t.equal(await service.ok("logs", "survivor"), "started\n");
  t.match(await service.lcow(["serve"]), { status: 125, stderr: /runs already/ });

  const [keeper = 0] = service.keepers();
  const waiting = service.lcow(["wait", "survivor"]);
  process.kill(keeper, "SIGKILL");
  t.match(await waiting, { status: 125 });
  t.equal(await service.ok("list", "--names"), "", "what died with its keeper is gone");
  await service.stop();
  await service.start();
  t.strictSame(readdirSync(`${service.directory}/k`), [], "and what it left is removed");
});

test("what is wrong is told, and by an exit status", async (t) => {
  const service = new TestService(t);
  await service.start();
  for (const [args, status, message] of [
    [["exec", "none", "true"], 125, "SYSTEM_NOT_FOUND"],
    [["create", "--local", "a/b", "--", "true"], 2, /NAME a\/b: .*letter or digit/],
    [["create", "--local", "x"], 2, "create needs"],
    [["create", "--local", "--memory", "lots", "x", "true"], 2, "--memory lots"],
    [["create", "--local", "--root", "/proc/none", "x", "true"], 2, "no such directory"],
    [["exec", "x"], 2, "exec needs"],
    [["list", "extra"], 2, "unexpected extra"],
    [["signal", "x", "NOISE"], 2, "NOISE is no signal"],
    [["stop", "--time-ms", "soon", "x"], 2, "--time-ms soon"],
    [["exec", "--nope", "x", "true"], 2, "unknown option --nope"],
  ] as const) {
    const result = await service.lcow(args);
    t.equal(result.status, status, args.join(" "));
    t.match(result.stderr, message);
  }
  await service.ok("create", "--local", "x", "true");
  t.match(await service.lcow(["create", "--local", "x", "true"]), {
    status: 125,
    stderr: /SYSTEM_ALREADY_EXISTS/,
  });
  t.match(await service.lcow(["exec", "x", "true"]), { status: 125, stderr: /INVALID_STATE/ });
  t.strictSame(service.keepers().length, 1, "failed creations leave no keeper");
  await service.ok("rm", "x");
});

test("every command helps, and bash completes", async (t) => {
  const service = new TestService(t);
  await service.start();
  const help = await service.ok("--help");
  const verbs = [
    "serve",
    "create",
    "start",
    "exec",
    "ps",
    "stats",
    "logs",
    "signal",
    "pause",
    "resume",
    "stop",
    "rm",
    "list",
    "wait",
  ];
  for (const verb of verbs) {
    t.match(help, verb);
    t.match(await service.ok(verb, "--help"), `Usage: lcow ${verb}`);
  }
  await service.ok("create", "--local", "completed", "true");
  const bin = new URL("../../../bin", import.meta.url).pathname;
  const complete = (...words: string[]) => {
    const script = `source <(lcow completion bash); COMP_WORDS=(lcow ${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length}; _lcow; echo "\${COMPREPLY[@]}"`;
    return execFileSync("bash", ["-c", script], {
      encoding: "utf8",
      env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, LCOW_STATE_DIRECTORY: service.directory },
    }).trim();
  };
  t.equal(complete("sta"), "start stats");
  t.equal(complete("exec", "comp"), "completed");
  t.equal(complete("create", "--own"), "--owner");
  await service.ok("rm", "completed");
});
