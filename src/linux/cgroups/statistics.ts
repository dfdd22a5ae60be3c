import type { Unsigned64 } from "./files.ts";

/**
 * What a cgroup has used, in the names that hosts read: containerd's cgroup v1 metrics (stats/v1/metrics.proto
 * there), where a zero is left out. Times are nanoseconds, sizes bytes. Statistics of cgroup v2 take this form too.
 */
export interface CgroupStatistics {
  hugetlb?: HugetlbStatistics[];
  pids?: { current?: Unsigned64; limit?: Unsigned64 };
  cpu?: {
    usage: { total?: Unsigned64; kernel?: Unsigned64; user?: Unsigned64; per_cpu?: Unsigned64[] };
    throttling: { periods?: Unsigned64; throttled_periods?: Unsigned64; throttled_time?: Unsigned64 };
  };
  memory?: MemoryStatistics;
  blkio?: BlockStatistics;
  memory_oom_control?: { oom_kill_disable?: Unsigned64; under_oom?: Unsigned64; oom_kill?: Unsigned64 };
}

export interface HugetlbStatistics {
  usage?: Unsigned64;
  max?: Unsigned64;
  failcnt?: Unsigned64;
  /** "2MB", "1GB". */
  pagesize?: string;
}

export interface MemoryEntry {
  limit?: Unsigned64;
  usage?: Unsigned64;
  max?: Unsigned64;
  failcnt?: Unsigned64;
}

export interface MemoryStatistics {
  usage?: MemoryEntry;
  /** Memory and swap together in v1, swap alone in v2. */
  swap?: MemoryEntry;
  kernel?: MemoryEntry;
  kernel_tcp?: MemoryEntry;
  /** cache, rss, pg_fault, hierarchical_memory_limit, total_cache ... */
  [counter: string]: Unsigned64 | MemoryEntry | undefined;
}

export interface BlockStatistics {
  io_service_bytes_recursive?: BlockEntry[];
  io_serviced_recursive?: BlockEntry[];
}

export interface BlockEntry {
  /** "Read", "Write", "Sync", "Async", "Discard", "Total". */
  op?: string;
  /** "/dev/sda". */
  device?: string;
  major?: Unsigned64;
  minor?: Unsigned64;
  value?: Unsigned64;
}

/** The entries of `values` that are neither zero nor empty: zeros do not go on the wire. */
export function withoutZeros<T extends object>(values: T): T {
  const kept: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== 0 && value !== 0n && value !== "") kept[name] = value;
  }
  return kept as T;
}
