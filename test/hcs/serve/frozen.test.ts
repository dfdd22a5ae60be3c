import { once } from "node:events";
import { readdirSync } from "node:fs";
import type { Readable } from "node:stream";
import t, { type Test, test } from "tap";
import { agentOf, tracesOf } from "./agents.ts";
import { eventually, isAlive, resultOf, TestService } from "./support.ts";

t.setTimeout(300_000);

const LISTED = /^c +Container +Running \(no answer for \d+ seconds?\)/m;

async function running(t: Test, id = "c") {
  const service = new TestService(t);
  await service.start();
  await service.ok("create", "--local", id, "--", "sleep", "1000");
  await service.ok("start", id);
  const agent = agentOf(service);
  const traces = tracesOf(agent);
  t.ok(traces().length > 0);
  return { service, agent, traces };
}

test("an agent that is stopped: all say since when, force ends it", async (t) => {
  const { service, agent, traces } = await running(t);
  const client = service.spawn(["exec", "c", "sh", "-c", "echo on; sleep 1000"]);
  const attached = resultOf(client);
  await once(client.stdout as Readable, "data");
  const inVm = (await service.ok("exec", "-d", "--in-vm", "c", "sleep", "1000")).trim();
  process.kill(agent, "SIGSTOP");
  const refused = async (words: readonly string[]) => {
    const { status, stderr } = await service.lcow(words);
    t.equal(status, 125, words.join(" "));
    t.match(stderr, /the guest has not answered since 20\S+Z \(\d+ seconds\).*\[TIMEOUT\]/);
  };
  await Promise.all(
    [
      ["exec", "c", "true"],
      ["ps", "c"],
      ["stats", "c"],
      ["signal", "c", "USR1"],
    ].map(refused),
  );
  await refused(["pause", "c"]);
  t.match(await service.ok("list"), LISTED);
  t.match(JSON.parse(await service.ok("list", "--json")), [{ NotAnsweringSince: /^20/ }]);
  t.match(await service.lcow(["rm", "c"]), { status: 125, stderr: /running/ });

  process.kill(agent, "SIGCONT");
  await eventually(async () => !LISTED.test(await service.ok("list")));
  t.match(await service.ok("exec", "c", "echo", "again"), "again\n", "it goes on where it was");

  process.kill(agent, "SIGSTOP");
  await eventually(async () => LISTED.test(await service.ok("list")));
  t.match(await service.ok("rm", "--force", "c"), "");
  const told = await attached;
  t.match(told, { status: 125, stdout: "on\n", stderr: /the guest of c has not answered since/ });
  t.equal(told.stderr.split("answers again").length - 1, 1, "once it did; one that is ended does not");
  t.equal(await service.ok("list", "-q"), "");
  t.strictSame(traces(), [], "nothing is left");
  t.notOk(isAlive(Number(inVm)), "nor any process");
});

test("stop and kill of one that is stopped", async (t) => {
  const force = async (...words: string[]) => {
    const { service, agent, traces } = await running(t);
    process.kill(agent, "SIGSTOP");
    await service.ok(...words);
    await eventually(async () => (await service.ok("list")).includes("Stopped"));
    t.strictSame(traces(), []);
    await service.ok("rm", "c");
  };
  await Promise.all([force("stop", "-t", "1", "c"), force("kill", "c")]);
});

test("a keeper that is stopped: the service answers for it, and cleans up after it", async (t) => {
  const { service, agent, traces } = await running(t);
  const [keeper = 0] = service.keepers();
  const waiting = service.lcow(["wait", "c"]);
  await service.ok("create", "--local", "other", "--", "true");
  process.kill(keeper, "SIGSTOP");
  t.match(await service.ok("list"), /^c +Container +Unknown \(no answer for/m);
  t.match(await service.ok("list"), /^other +Container +Created/m);
  const verbs = [
    ["exec", "c", "true"],
    ["stop", "c"],
    ["rm", "c"],
    ["logs", "c"],
    ["start", "-a", "c"],
  ];
  for (const result of await Promise.all(verbs.map((words) => service.lcow(words)))) {
    t.equal(result.status, 125);
    t.match(result.stderr, /the keeper of the system has not answered since .*\[TIMEOUT\]/);
  }
  t.match(await waiting, { status: 125, stderr: /has not answered since/ });
  // A service that starts anew knows it all the same.
  await service.stop("SIGKILL");
  await service.start();
  t.match(await service.ok("list"), /^c +Container +Unknown/m);
  // The worst of both.
  process.kill(agent, "SIGSTOP");
  await service.ok("rm", "--force", "c");
  t.notOk(isAlive(agent) || isAlive(keeper));
  t.strictSame(traces(), [], "what the keeper would have removed");
  t.equal(await service.ok("list", "-q"), "other\n");
  t.equal(readdirSync(`${service.directory}/k`).length, 1);
  await service.ok("rm", "--force", "other");
});
