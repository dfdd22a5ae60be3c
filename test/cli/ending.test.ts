import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import tap, { test } from "tap";
import { agentsOf, type Footprint, footprintOf, leftovers, leftoversAfter } from "../helpers/leftovers.ts";
import { LCOW, Lcow } from "./lcow.ts";

tap.setTimeout(240_000);

/** Says that it runs, and what each signal did to it. */
const LISTENER = `
for name in INT TERM HUP QUIT; do trap "echo got $name; exit 9" $name; done
echo ready
while :; do sleep 0.05; done
`;
/** Process 1 without handlers: signals do not end it. */
const DEAF = "echo ready; exec sleep 1000";

for (const name of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const) {
  test(`${name} reaches the command, whose exit status counts; nothing is left`, async (t) => {
    const running = new Lcow(t, ["run", "--local", "--", "/bin/sh", "-c", LISTENER]);
    await running.shows("ready");
    const footprint = await footprintOf(running.pid);
    running.child.kill(name);
    t.match(await running.result(), { status: 9, stdout: `ready\ngot ${name.slice(3)}\n`, stderr: "" });
    t.same(leftovers(footprint), []);
  });
}

test("every other signal that would end lcow reaches the command, real-time ones too", async (t) => {
  const names = ["USR1", "USR2", "ALRM", "CONT", "ABRT", "STKFLT", "XCPU", "VTALRM", "PROF", "IO", "PWR"];
  const numbers = [34, 35, 50, 63, 64];
  const traps = [...names, ...numbers].map((signal) => `trap 'echo got ${signal}.' ${signal}`).join("; ");
  const script = `${traps}; trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done`;
  const running = new Lcow(t, ["run", "--local", "--", "/bin/sh", "-c", script]);
  await running.shows("ready");
  for (const signal of [...names, ...numbers]) {
    // Node knows no numbers of real-time signals.
    execFileSync("/bin/kill", ["-s", String(signal), String(running.pid)]);
    await running.shows(`got ${signal}.`);
  }
  running.child.kill("SIGTERM");
  t.match(await running.result(), { status: 9, stderr: "" });
});

test("job control and faults of lcow's own are not passed on; the size of a window neither", async (t) => {
  const script =
    "trap 'echo got it' TSTP WINCH URG CHLD PIPE; trap 'exit 9' TERM; echo ready; read x; echo $x; read y";
  const running = new Lcow(t, ["run", "--local", "-i", "--", "/bin/sh", "-c", script]);
  await running.shows("ready");
  for (const name of ["SIGWINCH", "SIGURG", "SIGCHLD", "SIGPIPE"] as const) running.child.kill(name);
  running.child.stdin?.write("goes on\n");
  await running.shows("goes on");
  running.child.kill("SIGTERM");
  t.match(await running.result(), { status: 9, stdout: "ready\ngoes on\n" });
});

test("a signal that is no end and comes early waits for the command", async (t) => {
  const running = new Lcow(t, ["run", "--local", "--", "/bin/sh", "-c", "echo ready; sleep 0.2; exit 3"]);
  let footprint: Footprint | undefined;
  while (footprint === undefined) {
    await sleep(1);
    [footprint] = agentsOf(running.pid);
  }
  for (const signal of ["USR2", "ALRM", "40"]) execFileSync("/bin/kill", ["-s", signal, String(running.pid)]);
  t.match(await running.result(), { status: 3, stdout: "ready\n", stderr: "" });
});

test("a second SIGINT kills a command that does not listen, and says so", async (t) => {
  const running = new Lcow(t, ["run", "--local", "--", "/bin/sh", "-c", DEAF]);
  await running.shows("ready");
  const footprint = await footprintOf(running.pid);
  running.child.kill("SIGINT");
  while (!running.stderr.includes("Ctrl-C again")) await sleep(20);
  running.child.kill("SIGINT");
  const result = await running.result();
  t.match(result, {
    status: 128 + constants.signals.SIGKILL,
    stderr: /interrupted again: killing the command \(SIGKILL\)/,
  });
  t.same(leftovers(footprint), []);
});

test("a signal before the command runs ends lcow at once, with its status; nothing is left", async (t) => {
  for (const [name, status] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    const running = new Lcow(t, ["run", "--local", "--", "/bin/sleep", "1000"]);
    let footprint: Footprint | undefined;
    while (footprint === undefined) {
      await sleep(1);
      [footprint] = agentsOf(running.pid);
    }
    running.child.kill(name);
    t.match(await running.result(), { status, stdout: "", stderr: "" });
    t.same(leftovers(footprint), []);
  }
});

test("SIGTERM kills a command that does not listen, after a while, and says so", async (t) => {
  const running = new Lcow(t, ["run", "--local", "--", "/bin/sh", "-c", DEAF]);
  await running.shows("ready");
  running.child.kill("SIGTERM");
  t.match(await running.result(), {
    status: 137,
    stderr: /10 seconds after SIGTERM: killing the command \(SIGKILL\)/,
  });
});

test("SIGKILL of lcow leaves nothing, at whatever moment", async (t) => {
  const running = new Lcow(t, [
    "run",
    "--local",
    "--memory",
    "64m",
    "--",
    "/bin/sh",
    "-c",
    "sleep 1000 & echo ready; exec sleep 1000",
  ]);
  await running.shows("ready");
  const footprint = await footprintOf(running.pid);
  t.ok(footprint.processes.length >= 3, "the agent, and two of the container's");
  t.ok(leftovers(footprint).length >= 5, "the check sees what runs");
  running.child.kill("SIGKILL");
  t.same(await leftoversAfter(footprint), []);

  // While the container is being made, just before or just after.
  for (const late of [0, 10, 20, 40]) {
    const early = new Lcow(t, ["run", "--local", "--", "/bin/sleep", "1000"]);
    const making = await footprintOf(early.pid);
    await sleep(late);
    early.child.kill("SIGKILL");
    t.same(await leftoversAfter(making), [], `${late} ms after the runtime began`);
  }
});

test("SIGKILL of lcow before its agent has dialled leaves nothing", async (t) => {
  for (const late of [0, 30, 60]) {
    const running = new Lcow(t, ["run", "--local", "--", "/bin/sleep", "1000"]);
    let footprint: Footprint | undefined;
    while (footprint === undefined) {
      await sleep(1);
      [footprint] = agentsOf(running.pid);
    }
    await sleep(late);
    running.child.kill("SIGKILL");
    t.same(await leftoversAfter(footprint), [], `${late} ms after the agent's start`);
  }
});

test("the agent's death is told, with status 125, and lcow cleans up in its place", async (t) => {
  const running = new Lcow(t, [
    "run",
    "--local",
    "--memory",
    "64m",
    "--",
    "/bin/sh",
    "-c",
    "sleep 1000 & echo ready; exec sleep 1000",
  ]);
  await running.shows("ready");
  const footprint = await footprintOf(running.pid);
  const agent = Number.parseInt(footprint.processes[0] ?? "", 10);
  process.kill(agent, "SIGKILL");
  t.match(await running.result(), {
    status: 125,
    stderr: /the agent was ended by SIGKILL.*\[TRANSPORT_CLOSED\]/s,
  });
  t.same(leftovers(footprint), []);
});

test("a Ctrl-C at the terminal is lcow's to pass on: it does not reach the agent", async (t) => {
  const child = spawn(LCOW, ["run", "--local", "--", "/bin/sh", "-c", LISTENER], {
    detached: true,
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.teardown(() => void child.kill("SIGKILL"));
  if (child.pid === undefined || child.stdout === null) throw new Error("lcow was not started");
  await once(child.stdout, "data");
  process.kill(-child.pid, "SIGINT");
  const [status] = await once(child, "close");
  t.equal(status, 9);
});
