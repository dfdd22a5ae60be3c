import { readdirSync, readFileSync } from "node:fs";
import t, { test } from "tap";
import { eventually, isAlive, resultOf, TestService } from "./support.ts";

t.setTimeout(600_000);

const LOOP = 'echo started; trap "echo ending; exit 3" TERM; while :; do sleep 0.1; done';

test("a container in a virtual machine", { timeout: 300_000 }, async (t) => {
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "machine", "--", "/bin/sh", "-c", LOOP);
  await service.ok("start", "machine");
  t.match(await service.ok("exec", "machine", "uname", "-r"), "cloud");
  await service.ok("pause", "machine");
  t.match(await service.ok("list"), /machine +Container +Paused/);
  await service.stop();
  await service.start();
  await service.ok("resume", "machine");
  t.match(await service.ok("stats", "machine"), /machine +[\d.]+ [KM]iB/);
  await service.ok("stop", "machine");
  t.equal(await service.ok("logs", "machine"), "started\nending\n");
  await service.ok("rm", "machine");
});

function qemuOf(service: TestService): number {
  const [keeper] = service.keepers();
  return Number(
    readdirSync("/proc").find((name) => {
      try {
        return new RegExp(`\\(qemu\\S*\\) . ${keeper} `).test(readFileSync(`/proc/${name}/stat`, "utf8"));
      } catch {
        // No process, or one that has ended meanwhile.
        return false;
      }
    }),
  );
}

test("a start that fails in a machine, and a machine that is stopped", { timeout: 300_000 }, async (t) => {
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "bad", "--", "/no/such");
  t.match(await service.lcow(["start", "bad"]), { status: 127, stderr: /no such file/i });
  t.match(await service.ok("list"), /^bad +Container +Stopped \(start failed\)/m);
  t.match(await service.lcow(["exec", "bad", "true"]), { status: 125, stderr: /INVALID_STATE/ });
  t.match(await service.lcow(["wait", "bad"]), { stderr: /no such file/i });
  await service.ok("rm", "bad");

  await service.ok("create", "c", "--", "sleep", "1000");
  await service.ok("start", "c");
  const qemu = qemuOf(service);
  process.kill(qemu, "SIGSTOP");
  const results = [
    ["exec", "c", "true"],
    ["ps", "c"],
    ["exec", "--in-vm", "c", "true"],
  ].map((words) => service.lcow(words));
  for (const result of await Promise.all(results)) {
    t.match(result, { status: 125, stderr: /the guest has not answered since .*\[TIMEOUT\]/ });
  }
  t.match(await service.ok("list"), /^c +Container +Running \(no answer for/m);
  await service.ok("rm", "--force", "c");
  await eventually(() => !isAlive(qemu));
  t.equal(await service.ok("list", "-q"), "");
  await eventually(() => service.keepers().length === 0);

  // It stops while it boots.
  await service.ok("create", "c", "--", "sleep", "1000");
  const starting = service.lcow(["start", "c"]);
  await eventually(() => qemuOf(service) > 0);
  const booting = qemuOf(service);
  process.kill(booting, "SIGSTOP");
  await service.ok("rm", "--force", "c");
  t.match(await starting, { status: 125 });
  await eventually(() => !isAlive(booting));
});

test("a start that is given up while its machine boots", { timeout: 300_000 }, async (t) => {
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "c", "--", "/bin/echo", "here");
  for (const [words, signal, status] of [
    [["start", "-a", "c"], "SIGINT", 130],
    [["start", "-a", "c"], "SIGTERM", 143],
    [["start", "c"], "SIGINT", -1],
  ] as const) {
    const client = service.spawn(words);
    const ended = resultOf(client);
    await eventually(() => qemuOf(service) > 0);
    const booting = qemuOf(service);
    client.kill(signal);
    t.strictSame(await ended, { status, stdout: "", stderr: "" }, `${words.join(" ")}, ${signal}`);
    await eventually(() => !isAlive(booting));
    await eventually(async () => /^c +Container +\w+ \(start failed\)/m.test(await service.ok("list")));
    t.match(await service.lcow(["exec", "c", "true"]), { status: 125, stderr: /INVALID_STATE/ });
  }
  t.strictSame(await service.lcow(["start", "-a", "c"]), { status: 0, stdout: "here\n", stderr: "" });
  t.equal(service.keeperLogs(), "");
});
