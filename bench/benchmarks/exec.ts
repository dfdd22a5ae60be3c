/** An echo executed in a running container; alone and many at once. */
import { withAgent } from "../agent.ts";
import { echoCommand, exec as execOnce, RawRuntime, sleeper } from "../containers.ts";
import { type Measurement, ratioAtMost } from "../measurement.ts";
import { interleave, median, percentile, timed } from "../statistics.ts";
import type { Benchmark, World } from "../world.ts";

/** Of raw `runc exec`. */
const GOAL = 1.25;

export const exec: Benchmark = async (world) => [
  ...(await withRuntime(world, "runc")),
  ...(await withRuntime(world, "crun")),
];

async function withRuntime(world: World, name: "runc" | "crun"): Promise<Measurement[]> {
  const raw = new RawRuntime(name, world.directory);
  let rawContainer: string | undefined;
  try {
    rawContainer = await raw.startSleeper(world.rootfs);
    const rawId = rawContainer;
    const processFile = raw.writeProcess(echoCommand);
    return await withAgent({ runtime: name }, async (agent) => {
      const id = await sleeper(agent, world.rootfs);
      const sides = { ours: () => execOnce(agent, id), raw: () => raw.exec(rawId, processFile) };
      const single = await interleave(
        { count: world.quick ? 20 : 100, warmUp: 3 },
        { ours: () => timed(sides.ours), raw: () => timed(sides.raw) },
      );
      const line = (suffix: string, title: string, of: (samples: number[]) => number): Measurement => ({
        name: `exec.${name}.${suffix}`,
        title: `exec with ${name}, ${title}`,
        unit: "ms",
        value: of(single.ours),
        floor: { what: `\`${name} exec\``, value: of(single.raw) },
        ...(name === "runc" && suffix === "median" ? { goal: ratioAtMost(GOAL) } : {}),
      });
      const lines = [
        line("median", "median", median),
        line("p95", "95th percentile", (samples) => percentile(samples, 0.95)),
      ];
      for (const count of [20, 50]) {
        const rate = (work: () => Promise<unknown>) => async () =>
          (count * 1000) / (await timed(() => Promise.all(Array.from({ length: count }, work))));
        const samples = await interleave(
          { count: world.quick ? 2 : 5, warmUp: 1 },
          { ours: rate(sides.ours), raw: rate(sides.raw) },
        );
        lines.push({
          name: `exec.${name}.${count}-at-once`,
          title: `execs with ${name}, ${count} at once`,
          unit: "per s",
          value: median(samples.ours),
          floor: { what: `${count} \`${name} exec\` at once`, value: median(samples.raw) },
        });
      }
      return lines;
    });
  } finally {
    if (rawContainer !== undefined) await raw.delete(rawContainer);
    raw.close();
  }
}
