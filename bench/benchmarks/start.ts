/** From exec to negotiated. */
import { writeFileSync } from "node:fs";
import { Agent, type AgentCommand, sourceCommand } from "../agent.ts";
import { bundledCommand } from "../bundled-agent.ts";
import { run } from "../command.ts";
import { atMost, type Measurement } from "../measurement.ts";
import { interleave, median, timed } from "../statistics.ts";
import type { Benchmark } from "../world.ts";

const GOAL_MS = 45;

export const start: Benchmark = async (world) => {
  const empty = `${world.directory}/empty.mjs`;
  writeFileSync(empty, "");
  const bundled = await bundledCommand(`${world.directory}/bundle`);
  const samples = await interleave(
    { count: world.quick ? 8 : 25, warmUp: 2 },
    {
      source: () => startAndStop(sourceCommand),
      bundled: () => startAndStop(bundled),
      node: () => timed(() => run(process.execPath, [empty])),
    },
  );
  const floor = { what: "the same Node, running an empty module", value: median(samples.node) };
  const line = (name: string, title: string, times: number[]): Measurement => ({
    name,
    title,
    unit: "ms",
    value: median(times),
    floor,
    goal: atMost(GOAL_MS),
  });
  return [
    line("start.bundled", "start to negotiated, the bundle of the image", samples.bundled),
    line("start.source", "start to negotiated, from the sources", samples.source),
  ];
};

async function startAndStop(command: AgentCommand): Promise<number> {
  let agent: Agent | undefined;
  const time = await timed(async () => {
    agent = await Agent.start({ command });
  });
  await agent?.stop();
  return time;
}
