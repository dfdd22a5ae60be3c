/** Memory that is the agent's alone, at rest. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Agent, withAgent } from "../agent.ts";
import { bundledCommand } from "../bundled-agent.ts";
import { sleeper } from "../containers.ts";
import { atMost, type Measurement } from "../measurement.ts";
import { privateMegabytes } from "../process-figures.ts";
import type { Benchmark, World } from "../world.ts";

const IDLE_GOAL_MB = 16;
const GOAL_21_MB = 20;
/** Until what follows a request is done. */
const SETTLE_MS = 1500;

export const memory: Benchmark = async (world) => {
  const idleNode = await nodeAlone(world);
  const bundled = await bundledCommand(`${world.directory}/bundle`);
  const floor = { what: "the same Node, waiting for a timer", value: idleNode };
  const sourceIdle = await withAgent({}, settled);
  const lines: Measurement[] = [];
  await withAgent({ command: bundled }, async (agent) => {
    const add = (name: string, title: string, value: number, limit?: number) => {
      const goal = limit === undefined ? {} : { goal: atMost(limit) };
      lines.push({ name, title, unit: "MB", value, floor, ...goal });
    };
    add("memory.idle", "private memory, idle", await settled(agent), IDLE_GOAL_MB);
    lines.push({
      name: "memory.idle.source",
      title: "private memory, idle, from the sources",
      unit: "MB",
      value: sourceIdle,
      floor,
    });
    await addContainers(world, agent, 21);
    add("memory.21", "private memory with 21 containers", await settled(agent), GOAL_21_MB);
    if (world.quick) return;
    await addContainers(world, agent, 80);
    add("memory.101", "private memory with 101 containers", await settled(agent));
  });
  return lines;
};

async function settled(agent: Agent): Promise<number> {
  await sleep(SETTLE_MS);
  return privateMegabytes(agent.pid);
}

async function addContainers(world: World, agent: Agent, count: number): Promise<void> {
  for (let made = 0; made < count; made++) await sleeper(agent, world.rootfs);
}

async function nodeAlone(world: World): Promise<number> {
  const file = `${world.directory}/idle.mjs`;
  writeFileSync(file, "setInterval(() => {}, 1e6); console.log();");
  const child = spawn(process.execPath, [file], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  try {
    await once(child.stdout, "data");
    await sleep(SETTLE_MS);
    return privateMegabytes(child.pid ?? -1);
  } finally {
    child.kill("SIGKILL");
    await exited;
  }
}
