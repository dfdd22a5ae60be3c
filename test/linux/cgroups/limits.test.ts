import t from "tap";
import { limitWrites } from "../../../src/linux/cgroups/limits.ts";

const written = (resources: Record<string, unknown>, version: 1 | 2) =>
  limitWrites(resources, version).map(({ file, value }) => `${file}=${value}`);

await t.test("each limit of a spec in the files of either version", async (t) => {
  const rows: [Record<string, unknown>, string[], string[]][] = [
    [{}, [], []],
    [{ memory: {}, cpu: {}, pids: {} }, [], []],
    [{ memory: { limit: 4096 } }, ["memory.limit_in_bytes=4096"], ["memory.max=4096"]],
    [{ memory: { limit: -1 } }, ["memory.limit_in_bytes=-1"], ["memory.max=max"]],
    [
      { memory: { limit: 9223372036854771712n } },
      ["memory.limit_in_bytes=9223372036854771712"],
      ["memory.max=9223372036854771712"],
    ],
    [
      { memory: { limit: 4096, swap: 8192, reservation: 1024 } },
      ["memory.limit_in_bytes=4096", "memory.soft_limit_in_bytes=1024", "memory.memsw.limit_in_bytes=8192"],
      ["memory.max=4096", "memory.low=1024", "memory.swap.max=4096"],
    ],
    [{ cpu: { shares: 2 } }, ["cpu.shares=2"], ["cpu.weight=1"]],
    [{ cpu: { shares: 1024 } }, ["cpu.shares=1024"], ["cpu.weight=39"]],
    [{ cpu: { shares: 262144 } }, ["cpu.shares=262144"], ["cpu.weight=10000"]],
    [{ cpu: { shares: 0 } }, [], []],
    [
      { cpu: { quota: 50_000, period: 100_000 } },
      ["cpu.cfs_period_us=100000", "cpu.cfs_quota_us=50000"],
      ["cpu.max=50000 100000"],
    ],
    [{ cpu: { quota: -1 } }, ["cpu.cfs_quota_us=-1"], ["cpu.max=max"]],
    [
      { cpu: { cpus: "0-1", mems: "0" } },
      ["cpuset.cpus=0-1", "cpuset.mems=0"],
      ["cpuset.cpus=0-1", "cpuset.mems=0"],
    ],
    [{ cpu: { cpus: "" } }, [], []],
    [{ pids: { limit: 50 } }, ["pids.max=50"], ["pids.max=50"]],
    [{ pids: { limit: 0 } }, ["pids.max=max"], ["pids.max=max"]],
    [{ pids: { limit: "5" }, memory: 7, cpu: null }, [], []],
  ];
  for (const [resources, v1, v2] of rows) {
    const name = JSON.stringify(resources, (_, value: unknown) =>
      typeof value === "bigint" ? `${value}` : value,
    );
    t.same(written(resources, 1), v1, `v1 ${name}`);
    t.same(written(resources, 2), v2, `v2 ${name}`);
  }
});
