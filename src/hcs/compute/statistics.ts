import type { Statistics } from "./schema1.ts";

type Metrics = Readonly<Record<string, unknown>>;

/**
 * HCS's statistics from a guest's cgroup metrics. Network statistics are missing: the guest counts none.
 * @param startedAt when the system was started; milliseconds since 1970
 */
export function statisticsOf(metrics: Metrics, startedAt: number | undefined): Statistics {
  const now = Date.now();
  const usage = at(at(metrics, "cpu"), "usage");
  const memory = at(metrics, "memory");
  return {
    Timestamp: new Date(now).toISOString(),
    ...(startedAt !== undefined && {
      ContainerStartTime: new Date(startedAt).toISOString(),
      Uptime100ns: (now - startedAt) * 10_000,
    }),
    Memory: {
      MemoryUsageCommitBytes: number(at(memory, "usage"), "usage"),
      MemoryUsageCommitPeakBytes: number(at(memory, "usage"), "max"),
      // What is the processes' own, without the page cache.
      MemoryUsagePrivateWorkingSetBytes: number(memory, "total_rss") || number(memory, "rss"),
    },
    Processor: {
      TotalRuntime100ns: Math.round(number(usage, "total") / 100),
      RuntimeUser100ns: Math.round(number(usage, "user") / 100),
      RuntimeKernel100ns: Math.round(number(usage, "kernel") / 100),
    },
    Storage: {
      ReadCountNormalized: sum(metrics, "io_serviced_recursive", "Read"),
      ReadSizeBytes: sum(metrics, "io_service_bytes_recursive", "Read"),
      WriteCountNormalized: sum(metrics, "io_serviced_recursive", "Write"),
      WriteSizeBytes: sum(metrics, "io_service_bytes_recursive", "Write"),
    },
  };
}

function at(object: unknown, name: string): unknown {
  return typeof object === "object" && object !== null ? (object as Metrics)[name] : undefined;
}

function number(object: unknown, name: string): number {
  const value = at(object, name);
  return typeof value === "number" || typeof value === "bigint" ? Number(value) : 0;
}

function sum(metrics: Metrics, list: string, operation: string): number {
  const entries = at(at(metrics, "blkio"), list);
  if (!Array.isArray(entries)) return 0;
  return entries
    .filter((entry) => at(entry, "op") === operation)
    .reduce((total: number, entry) => total + number(entry, "value"), 0);
}
