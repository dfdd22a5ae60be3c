/** What cannot be removed of a system: who asks is told, it can be tried again, and no keeper stays for it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, writeFileSync } from "node:fs";
import { type Test, test } from "tap";
import { agentOf, tracesOf } from "./agents.ts";
import { eventually, TestService } from "./support.ts";

const LOOP = "trap 'exit 4' TERM; while :; do sleep 0.1; done";
const REFUSED = /could not clean up \/\S+; remove it by hand.*(EBUSY|busy)/;

/** Makes a cgroup of the agent's one that cannot be removed, as long as somebody else's process is in it. */
function occupy(t: Test, traces: readonly string[]): ChildProcess {
  const stranger = spawn("sleep", ["1000"], { stdio: "ignore" });
  t.teardown(() => stranger.kill("SIGKILL"));
  const cgroup = traces.find((path) => path.startsWith("/sys/fs/cgroup/"));
  writeFileSync(`${cgroup}/cgroup.procs`, `${stranger.pid}`);
  return stranger;
}

async function leave(stranger: ChildProcess): Promise<void> {
  const gone = once(stranger, "exit");
  stranger.kill("SIGKILL");
  await gone;
}

test("rm says what it could not remove, and can be repeated", async (t) => {
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "--local", "c", "--", "sh", "-c", LOOP);
  await service.ok("start", "c");
  const traces = tracesOf(agentOf(service));
  const stranger = occupy(t, traces());
  await service.ok("stop", "c");
  t.equal(await service.ok("wait", "c"), "4\n", "its end is told all the same");
  for (const words of [["rm"], ["rm", "--force"]]) {
    t.match(await service.lcow([...words, "c"]), { status: 125, stderr: REFUSED }, words.join(" "));
    t.match(await service.ok("list"), /^c +Container +Stopped/m);
  }
  t.match(
    await service.lcow(["start", "c"]),
    { status: 125, stderr: REFUSED },
    "it starts anew on a clean ground",
  );
  await leave(stranger);
  await service.ok("start", "c");
  await service.ok("stop", "c");
  t.equal(await service.ok("wait", "c"), "4\n");
  await service.ok("rm", "c");
  await eventually(() => service.keepers().length === 0);
  t.strictSame(traces(), []);
  t.strictSame(readdirSync(`${service.directory}/k`), []);
});

test("the keeper of a container that was to be removed at its end goes, and the service removes the rest", async (t) => {
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "--local", "--rm", "c", "--", "sleep", "1000");
  await service.ok("start", "c");
  const traces = tracesOf(agentOf(service));
  const stranger = occupy(t, traces());
  await service.ok("kill", "c");
  await eventually(() => service.keepers().length === 0);
  t.ok(traces().length > 0);
  t.equal(await service.ok("list", "-q"), "");
  t.equal(readdirSync(`${service.directory}/k`).length, 1, "what is left is known");
  await leave(stranger);
  await service.ok("list", "-q");
  t.strictSame(traces(), []);
  t.strictSame(readdirSync(`${service.directory}/k`), []);
});
