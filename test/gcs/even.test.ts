/** After many processes and containers everything is as it was: descriptors, processes, cgroups, mounts, memory. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import t from "tap";
import { type Agent, privateMemory } from "../helpers/agent.ts";
import { createBody, execParameters, executeBody, runSleeper, UVM } from "../helpers/gcs-requests.ts";
import { startGuest } from "../helpers/guest.ts";

const FOREVER = 0xffffffff;

function countCgroups(name: string): number {
  return readdirSync("/sys/fs/cgroup", { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .filter(({ name: controller }) => existsSync(`/sys/fs/cgroup/${controller}${name}`)).length;
}

function childrenOf(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean),
  );
}

const census = (agent: Agent) => ({
  descriptors: agent.fdCount(),
  children: childrenOf(agent.pid),
  mounts: readFileSync("/proc/self/mountinfo", "utf8").split("\n").length,
  files: readdirSync(`${agent.directory}`).sort(),
});

async function inTurns(count: number, atOnce: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (next < count) await work(next++);
    }),
  );
}

await t.test("hundreds of processes of each kind, and containers", { timeout: 230_000 }, async (t) => {
  const { agent, host } = await startGuest(t, ["--loglevel", "info"]);
  await host.negotiate();
  const initPid = await runSleeper(host, "keeper", `${agent.directory}/c/keeper`);

  const finish = async (containerId: string, started: Record<string, unknown>, exitCode: number) => {
    if (typeof started.ProcessId !== "number") throw new Error(JSON.stringify(started));
    const body = { ContainerId: containerId, ProcessId: started.ProcessId, TimeoutInMs: FOREVER };
    const waited = await host.request("WaitForProcess", body);
    if (waited.ExitCode !== exitCode) throw new Error(JSON.stringify(waited));
  };
  const inUvm = async (index: number) => {
    const code = index % 100;
    await finish(
      UVM,
      await host.request(
        "ExecuteProcess",
        executeBody(UVM, { CommandArgs: ["/bin/sh", "-c", `exit ${code}`] }),
      ),
      code,
    );
  };
  const inContainer = async (index: number) => {
    const code = index % 100;
    const parameters = execParameters(["/bin/sh", "-c", `exit ${code}`]);
    await finish("keeper", await host.request("ExecuteProcess", executeBody("keeper", parameters)), code);
  };
  const wholeContainer = async (index: number) => {
    const id = `c${index}`;
    const created = await host.request(
      "Create",
      createBody(id, `${agent.directory}/c/${id}`, { args: ["/bin/true"] }),
    );
    if (created.Result !== 0) throw new Error(JSON.stringify(created));
    await finish(id, await host.request("ExecuteProcess", executeBody(id)), 0);
    const deleted = await host.request("DeleteContainerState", { ContainerId: id });
    if (deleted.Result !== 0) throw new Error(JSON.stringify(deleted));
  };
  // Once each, so that what is made at first use is there.
  await inTurns(8, 4, inUvm);
  await inTurns(8, 4, inContainer);
  await inTurns(8, 4, wholeContainer);
  const before = census(agent);
  await inTurns(250, 8, inUvm);
  await inTurns(200, 4, inContainer);
  await inTurns(40, 4, wholeContainer);
  // Halfway the engine's heap and compiled code have found their size; what grows from here on is a leak.
  const memoryBefore = privateMemory(agent.pid);
  await inTurns(250, 8, inUvm);
  await inTurns(200, 4, inContainer);
  await inTurns(40, 4, wholeContainer);

  t.same(census(agent), before);
  t.same(childrenOf(agent.pid), [String(initPid)], "no zombie, no orphan");
  const grown = privateMemory(agent.pid) - memoryBefore;
  t.ok(grown < 8 * 1024 * 1024, `memory did not grow with the count (${Math.round(grown / 1024)} KiB)`);

  await host.close();
  t.equal(await agent.stop(), 0);
  t.equal(countCgroups(agent.cgroupParent), 0, "no cgroup is left");
  t.equal(existsSync(agent.directory), false);
  t.equal(existsSync(`/proc/${initPid}`), false, "what ran was ended");
});
