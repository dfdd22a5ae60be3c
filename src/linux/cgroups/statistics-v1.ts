import { multiply, parseKeyedValues, parseUnsigned, readKernelFile } from "./files.ts";
import { readHugetlbStatistics } from "./hugetlb.ts";
import {
  type BlockEntry,
  type BlockStatistics,
  type CgroupStatistics,
  type MemoryEntry,
  type MemoryStatistics,
  withoutZeros,
} from "./statistics.ts";

/** USER_HZ, the unit of cpuacct.stat: 100 on every architecture we run on; times(2). */
const nanosecondsPerTick = 1e9 / 100;

/** Counters of memory.stat whose wire name differs; each also exists with "total_" before it. */
const wireNames = new Map(
  Object.entries({
    pgpgin: "pg_pg_in",
    pgpgout: "pg_pg_out",
    pgfault: "pg_fault",
    pgmajfault: "pg_maj_fault",
  }),
);

/** Counters of memory.stat that the wire has, in its order. */
const counters =
  "cache rss rss_huge mapped_file dirty writeback pgpgin pgpgout pgfault pgmajfault inactive_anon active_anon inactive_file active_file unevictable".split(
    " ",
  );

const memoryCounters: readonly (readonly [file: string, wire: string])[] = [
  ...counters.map((name) => [name, wireNames.get(name) ?? name] as const),
  ["hierarchical_memory_limit", "hierarchical_memory_limit"],
  ["hierarchical_memsw_limit", "hierarchical_swap_limit"],
  ...counters.map((name) => [`total_${name}`, `total_${wireNames.get(name) ?? name}`] as const),
];

/** @param directory where the cgroup is in the hierarchy of a controller; undefined where that is not mounted. */
export function readV1Statistics(directory: (controller: string) => string | undefined): CgroupStatistics {
  const statistics: CgroupStatistics = {};
  const at = <T>(controller: string, read: (directory: string) => T): T | undefined => {
    const path = directory(controller);
    return path === undefined ? undefined : read(path);
  };
  const hugetlb = at("hugetlb", (path) => readHugetlbStatistics(path, 1));
  if (hugetlb && hugetlb.length > 0) statistics.hugetlb = hugetlb;
  const pids = at("pids", readPids);
  if (pids) statistics.pids = pids;
  const usage = at("cpuacct", readCpuUsage);
  const throttling = at("cpu", readThrottling);
  if (usage || throttling) statistics.cpu = { usage: usage ?? {}, throttling: throttling ?? {} };
  const memory = at("memory", readMemory);
  if (memory) statistics.memory = memory;
  const blkio = at("blkio", readBlockStatistics);
  if (blkio) statistics.blkio = blkio;
  const oom = at("memory", readOomControl);
  if (oom) statistics.memory_oom_control = oom;
  return statistics;
}

function readPids(directory: string): CgroupStatistics["pids"] {
  const current = readKernelFile(`${directory}/pids.current`);
  const limit = readKernelFile(`${directory}/pids.max`)?.trim();
  if (current === undefined || limit === undefined) return undefined;
  return withoutZeros({ current: parseUnsigned(current), limit: limit === "max" ? 0 : parseUnsigned(limit) });
}

function readCpuUsage(directory: string): NonNullable<CgroupStatistics["cpu"]>["usage"] | undefined {
  const total = readKernelFile(`${directory}/cpuacct.usage`);
  if (total === undefined) return undefined;
  const ticks = parseKeyedValues(readKernelFile(`${directory}/cpuacct.stat`) ?? "");
  const perCpu = (readKernelFile(`${directory}/cpuacct.usage_percpu`) ?? "").trim();
  return {
    ...withoutZeros({
      total: parseUnsigned(total),
      kernel: multiply(ticks.get("system") ?? 0, nanosecondsPerTick),
      user: multiply(ticks.get("user") ?? 0, nanosecondsPerTick),
    }),
    ...(perCpu === "" ? {} : { per_cpu: perCpu.split(" ").map(parseUnsigned) }),
  };
}

function readThrottling(directory: string): NonNullable<CgroupStatistics["cpu"]>["throttling"] | undefined {
  const text = readKernelFile(`${directory}/cpu.stat`);
  if (text === undefined) return undefined;
  const values = parseKeyedValues(text);
  return withoutZeros({
    periods: values.get("nr_periods") ?? 0,
    throttled_periods: values.get("nr_throttled") ?? 0,
    throttled_time: values.get("throttled_time") ?? 0,
  });
}

function readMemory(directory: string): MemoryStatistics | undefined {
  const text = readKernelFile(`${directory}/memory.stat`);
  if (text === undefined) return undefined;
  const values = parseKeyedValues(text);
  const memory: MemoryStatistics = {};
  for (const [file, wire] of memoryCounters) {
    const value = values.get(file) ?? 0;
    if (value !== 0) memory[wire] = value;
  }
  const entries = [
    ["usage", "memory"],
    ["swap", "memory.memsw"],
    ["kernel", "memory.kmem"],
    ["kernel_tcp", "memory.kmem.tcp"],
  ] as const;
  for (const [wire, prefix] of entries) {
    const entry = readMemoryEntry(`${directory}/${prefix}`);
    // Swap accounting and kernel memory may be switched off in the kernel.
    if (entry) memory[wire] = entry;
  }
  return memory;
}

function readMemoryEntry(prefix: string): MemoryEntry | undefined {
  const limit = readKernelFile(`${prefix}.limit_in_bytes`);
  if (limit === undefined) return undefined;
  return withoutZeros({
    limit: parseUnsigned(limit),
    usage: parseUnsigned(readKernelFile(`${prefix}.usage_in_bytes`) ?? "0"),
    max: parseUnsigned(readKernelFile(`${prefix}.max_usage_in_bytes`) ?? "0"),
    failcnt: parseUnsigned(readKernelFile(`${prefix}.failcnt`) ?? "0"),
  });
}

function readOomControl(directory: string): CgroupStatistics["memory_oom_control"] {
  const text = readKernelFile(`${directory}/memory.oom_control`);
  if (text === undefined) return undefined;
  const values = parseKeyedValues(text);
  return withoutZeros({
    oom_kill_disable: values.get("oom_kill_disable") ?? 0,
    under_oom: values.get("under_oom") ?? 0,
    oom_kill: values.get("oom_kill") ?? 0,
  });
}

function readBlockStatistics(directory: string): BlockStatistics | undefined {
  const serviced = readKernelFile(`${directory}/blkio.throttle.io_serviced`);
  const bytes = readKernelFile(`${directory}/blkio.throttle.io_service_bytes`);
  if (serviced === undefined || bytes === undefined) return undefined;
  const blkio: BlockStatistics = {};
  const names = new Map<string, string>();
  const bytesEntries = parseBlockEntries(bytes, names);
  const servicedEntries = parseBlockEntries(serviced, names);
  if (bytesEntries.length > 0) blkio.io_service_bytes_recursive = bytesEntries;
  if (servicedEntries.length > 0) blkio.io_serviced_recursive = servicedEntries;
  return blkio;
}

/**
 * Lines "8:0 Read 4096", and a last one "Total 4096" that is left out.
 * @param names of devices that are known already, by number; those that are looked up are added. A number has five lines
 *   in each of two files, and its name is asked of the kernel once.
 */
export function parseBlockEntries(text: string, names = new Map<string, string>()): BlockEntry[] {
  const entries: BlockEntry[] = [];
  for (const line of text.split("\n")) {
    const match = /^(\d+):(\d+) (?:(\w+) )?(\d+)$/.exec(line);
    if (!match) continue;
    const [, major = "", minor = "", op = "", value = ""] = match;
    const number = `${major}:${minor}`;
    const device = names.get(number) ?? deviceName(number);
    names.set(number, device);
    entries.push(
      withoutZeros({
        op,
        device,
        major: parseUnsigned(major),
        minor: parseUnsigned(minor),
        value: parseUnsigned(value),
      }),
    );
  }
  return entries;
}

function deviceName(number: string): string {
  const name = /^DEVNAME=(.*)$/m.exec(readKernelFile(`/sys/dev/block/${number}/uevent`) ?? "")?.[1];
  return name === undefined ? "" : `/dev/${name}`;
}
