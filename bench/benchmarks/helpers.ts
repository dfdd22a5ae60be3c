/** How many helper processes the agent starts for each kind of request, as its stack dump tells. */
import { type Agent, withAgent } from "../agent.ts";
import { create, echoCommand, nextId, outputOf, remove, sleeper } from "../containers.ts";
import { atMost, type Measurement } from "../measurement.ts";
import type { Benchmark } from "../world.ts";

export const helpers: Benchmark = (world) =>
  withAgent({}, async (agent) => {
    const { host } = agent;
    const running = await sleeper(agent, world.rootfs);
    const id = nextId();
    const lines: Measurement[] = [];
    const count = async (name: string, title: string, work: () => Promise<unknown>, limit?: number) => {
      const before = await started(agent);
      await work();
      const value = (await started(agent)) - before;
      lines.push({
        name: `helpers.${name}`,
        title: `helper processes: ${title}`,
        unit: "count",
        value,
        ...(limit === undefined ? {} : { goal: atMost(limit) }),
      });
    };
    await count("create", "create", () => create(agent, id, { args: echoCommand, rootfs: world.rootfs }));
    await count("start", "start init and wait for it", () => outputOf(host, id));
    await count("delete", "delete", () => remove(host, id));
    await count("exec", "exec and wait for it", () => outputOf(host, running, echoCommand));
    const query = (type: "ProcessList" | "Statistics") =>
      host.request("GetProperties", { ContainerId: running, Query: { PropertyTypes: [type] } });
    await count("processes", "process list", () => query("ProcessList"), 0);
    await count("statistics", "statistics", () => query("Statistics"), 0);
    await count("shutdown", "kill", () => host.request("ShutdownForced", { ContainerId: running }), 0);
    return lines;
  });

async function started(agent: Agent): Promise<number> {
  const { GuestStacks } = await agent.host.request("DumpStacks", { ContainerId: "" });
  const count = /^programs started: (\d+)$/m.exec(GuestStacks)?.[1];
  if (count === undefined)
    throw new Error("the agent's stack dump does not tell how many helpers it started");
  return Number(count);
}
