import { multiply, parseKeyedValues, parseUnsigned, readKernelFile, type Unsigned64 } from "./files.ts";
import { readHugetlbStatistics } from "./hugetlb.ts";
import { type BlockEntry, type CgroupStatistics, type MemoryStatistics, withoutZeros } from "./statistics.ts";

/** Statistics of a cgroup2 directory, in the v1 form that hosts read. */
export function readV2Statistics(directory: string): CgroupStatistics {
  const statistics: CgroupStatistics = {};
  const hugetlb = readHugetlbStatistics(directory, 2);
  if (hugetlb.length > 0) statistics.hugetlb = hugetlb;
  const pids = readKernelFile(`${directory}/pids.current`);
  if (pids !== undefined) {
    const limit = readKernelFile(`${directory}/pids.max`) ?? "0";
    statistics.pids = withoutZeros({ current: parseUnsigned(pids), limit: parseUnsigned(limit) });
  }
  const cpu = readKernelFile(`${directory}/cpu.stat`);
  if (cpu !== undefined) statistics.cpu = convertCpu(parseKeyedValues(cpu));
  const memory = readKernelFile(`${directory}/memory.stat`);
  if (memory !== undefined) statistics.memory = readMemory(directory, parseKeyedValues(memory));
  const blkio = convertBlock(readKernelFile(`${directory}/io.stat`) ?? "");
  if (blkio) statistics.blkio = blkio;
  const events = readKernelFile(`${directory}/memory.events`);
  if (events !== undefined)
    statistics.memory_oom_control = withoutZeros({ oom_kill: parseKeyedValues(events).get("oom_kill") ?? 0 });
  return statistics;
}

const nanosecondsPerMicrosecond = 1000;

function convertCpu(values: Map<string, Unsigned64>): NonNullable<CgroupStatistics["cpu"]> {
  const nanoseconds = (name: string) => multiply(values.get(name) ?? 0, nanosecondsPerMicrosecond);
  return {
    usage: withoutZeros({
      total: nanoseconds("usage_usec"),
      kernel: nanoseconds("system_usec"),
      user: nanoseconds("user_usec"),
    }),
    throttling: withoutZeros({
      periods: values.get("nr_periods") ?? 0,
      throttled_periods: values.get("nr_throttled") ?? 0,
      throttled_time: nanoseconds("throttled_usec"),
    }),
  };
}

/** v1 name, v2 name in memory.stat; in the wire's order. */
const memoryCounters = [
  ["cache", "file"],
  ["rss", "anon"],
  ["mapped_file", "file_mapped"],
  ["dirty", "file_dirty"],
  ["writeback", "file_writeback"],
  ["pg_fault", "pgfault"],
  ["pg_maj_fault", "pgmajfault"],
  ["inactive_anon", "inactive_anon"],
  ["active_anon", "active_anon"],
  ["inactive_file", "inactive_file"],
  ["active_file", "active_file"],
  ["unevictable", "unevictable"],
] as const;

function readMemory(directory: string, values: Map<string, Unsigned64>): MemoryStatistics {
  const number = (name: string) => parseUnsigned(readKernelFile(`${directory}/memory.${name}`) ?? "0");
  const limit = number("max");
  const swapLimit = number("swap.max");
  const memory: MemoryStatistics = {};
  for (const [wire, name] of memoryCounters) memory[wire] = values.get(name) ?? 0;
  memory.hierarchical_memory_limit = limit;
  memory.hierarchical_swap_limit = swapLimit;
  memory.usage = withoutZeros({ limit, usage: number("current"), max: number("peak") });
  memory.swap = withoutZeros({ limit: swapLimit, usage: number("swap.current"), max: number("swap.peak") });
  memory.kernel = withoutZeros({ usage: values.get("kernel_stack") ?? 0 });
  memory.kernel_tcp = withoutZeros({ usage: values.get("sock") ?? 0 });
  return withoutZeros(memory);
}

/** Lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0". */
function convertBlock(text: string): CgroupStatistics["blkio"] {
  const bytes: BlockEntry[] = [];
  const serviced: BlockEntry[] = [];
  for (const line of text.split("\n")) {
    const match = /^(\d+):(\d+) (.*)$/.exec(line);
    if (!match) continue;
    const [, major = "", minor = "", rest = ""] = match;
    const values = parseKeyedValues(rest.replaceAll("=", "\0").replaceAll(" ", "\n").replaceAll("\0", " "));
    const entry = (op: string, name: string): BlockEntry =>
      withoutZeros({
        op,
        major: parseUnsigned(major),
        minor: parseUnsigned(minor),
        value: values.get(name) ?? 0,
      });
    bytes.push(entry("Read", "rbytes"), entry("Write", "wbytes"));
    serviced.push(entry("Read", "rios"), entry("Write", "wios"));
  }
  return bytes.length === 0
    ? undefined
    : { io_service_bytes_recursive: bytes, io_serviced_recursive: serviced };
}
