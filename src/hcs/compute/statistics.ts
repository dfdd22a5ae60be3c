import { type ExactInteger, exactInteger } from "./documents/exact-integer.ts";
import type { Statistics } from "./documents/schema1.ts";

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
      Uptime100ns: exactInteger(BigInt(now - startedAt) * 10_000n),
    }),
    Memory: {
      MemoryUsageCommitBytes: exactInteger(integer(at(memory, "usage"), "usage")),
      MemoryUsageCommitPeakBytes: exactInteger(integer(at(memory, "usage"), "max")),
      // What is the processes' own, without the page cache.
      MemoryUsagePrivateWorkingSetBytes: exactInteger(integer(memory, "total_rss") || integer(memory, "rss")),
    },
    Processor: {
      TotalRuntime100ns: hundredNanoseconds(integer(usage, "total")),
      RuntimeUser100ns: hundredNanoseconds(integer(usage, "user")),
      RuntimeKernel100ns: hundredNanoseconds(integer(usage, "kernel")),
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

/** 0 for what is missing or no integer: a guest may answer anything. */
function integer(object: unknown, name: string): bigint {
  const value = at(object, name);
  if (typeof value === "bigint") return value;
  return typeof value === "number" && Number.isInteger(value) ? BigInt(value) : 0n;
}

/** @param nanoseconds rounded to the nearest */
function hundredNanoseconds(nanoseconds: bigint): ExactInteger {
  return exactInteger((nanoseconds + 50n) / 100n);
}

function sum(metrics: Metrics, list: string, operation: string): ExactInteger {
  const entries = at(at(metrics, "blkio"), list);
  if (!Array.isArray(entries)) return 0;
  const wanted = entries.filter((entry) => at(entry, "op") === operation);
  return exactInteger(wanted.reduce((total: bigint, entry) => total + integer(entry, "value"), 0n));
}
