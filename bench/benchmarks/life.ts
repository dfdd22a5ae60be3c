/** A container's life: create, start, wait, delete one echo; alone and many at once. */
import { withAgent } from "../agent.ts";
import { echoCommand, life as liveOnce, nextId, RawRuntime } from "../containers.ts";
import { type Measurement, ratioAtMost } from "../measurement.ts";
import { interleave, median, percentile, timed } from "../statistics.ts";
import type { Benchmark, World } from "../world.ts";

/** Of raw `runc run`. */
const GOAL = 1.45;
const CRUN_GOAL = GOAL / 2;

export const life: Benchmark = async (world) => {
  const raw = {
    runc: new RawRuntime("runc", world.directory),
    crun: new RawRuntime("crun", world.directory),
  };
  try {
    return await withAgent({ runtime: "runc" }, (runc) =>
      withAgent({ runtime: "crun" }, async (crun) => {
        const rawLife = (runtime: RawRuntime) => {
          const id = nextId();
          const bundle = runtime.bundle(id, { args: echoCommand, rootfs: world.rootfs });
          return timed(() => runtime.life(bundle, id));
        };
        const single = await interleave(
          { count: world.quick ? 15 : 60, warmUp: 3 },
          {
            runc: () => timed(() => liveOnce(runc, world.rootfs)),
            rawRunc: () => rawLife(raw.runc),
            crun: () => timed(() => liveOnce(crun, world.rootfs)),
            rawCrun: () => rawLife(raw.crun),
          },
        );
        const lines: Measurement[] = [];
        const add = (name: string, title: string, of: (samples: number[]) => number, withGoal: boolean) => {
          lines.push({
            name: `life.runc.${name}`,
            title: `container life with runc, ${title}`,
            unit: "ms",
            value: of(single.runc),
            floor: { what: "`runc run`", value: of(single.rawRunc) },
            ...(withGoal ? { goal: ratioAtMost(GOAL) } : {}),
          });
          lines.push({
            name: `life.crun.${name}`,
            title: `container life with crun, ${title}`,
            unit: "ms",
            value: of(single.crun),
            floor: { what: "`crun run`", value: of(single.rawCrun) },
          });
        };
        add("median", "median", median, true);
        add("p95", "95th percentile", (samples) => percentile(samples, 0.95), false);
        lines.push({
          name: "life.crun.to-runc",
          title: "container life with crun, median",
          unit: "ms",
          value: median(single.crun),
          floor: { what: "`runc run`", value: median(single.rawRunc) },
          goal: ratioAtMost(CRUN_GOAL),
        });
        for (const count of [20, 50]) {
          lines.push(
            await atOnce(world, count, "runc", {
              ours: () => liveOnce(runc, world.rootfs),
              raw: () => rawLife(raw.runc),
            }),
          );
          lines.push(
            await atOnce(world, count, "crun", {
              ours: () => liveOnce(crun, world.rootfs),
              raw: () => rawLife(raw.crun),
            }),
          );
        }
        return lines;
      }),
    );
  } finally {
    for (const runtime of Object.values(raw)) runtime.close();
  }
};

async function atOnce(
  world: World,
  count: number,
  runtime: string,
  sides: { ours: () => Promise<unknown>; raw: () => Promise<unknown> },
): Promise<Measurement> {
  const rate = (work: () => Promise<unknown>) => async () => {
    const time = await timed(() => Promise.all(Array.from({ length: count }, work)));
    return (count * 1000) / time;
  };
  const samples = await interleave(
    { count: world.quick ? 2 : 5, warmUp: 1 },
    { ours: rate(sides.ours), raw: rate(sides.raw) },
  );
  return {
    name: `life.${runtime}.${count}-at-once`,
    title: `container lives with ${runtime}, ${count} at once`,
    unit: "per s",
    value: median(samples.ours),
    floor: { what: `${count} \`${runtime} run\` at once`, value: median(samples.raw) },
  };
}
