import { test } from "tap";
import { stringifyJson } from "../../../src/common/json.ts";
import { multiply, parseKeyedValues, parseUnsigned } from "../../../src/linux/cgroups/files.ts";
import { pageSizeName } from "../../../src/linux/cgroups/hugetlb.ts";
import { parseBlockEntries, readV1Statistics } from "../../../src/linux/cgroups/statistics-v1.ts";
import { readV2Statistics } from "../../../src/linux/cgroups/statistics-v2.ts";

const noLimitV1 = 9223372036854771712n;
const noLimitV2 = 18446744073709551615n;

test("numbers keep every digit", (t) => {
  t.equal(parseUnsigned("42\n"), 42);
  t.equal(parseUnsigned("9007199254740991"), 9007199254740991);
  t.equal(parseUnsigned("9007199254740993"), 9007199254740993n);
  t.equal(parseUnsigned("9223372036854771712\n"), noLimitV1);
  t.equal(parseUnsigned("max\n"), noLimitV2);
  for (const text of ["", "-1", "words", "99999999999999999999x", "-9223372036854771712"])
    t.equal(parseUnsigned(text), 0);
  t.equal(multiply(3, 10_000_000), 30_000_000);
  t.equal(multiply(9007199254740991, 1000), 9007199254740991000n);
  t.equal(multiply(noLimitV1, 1), noLimitV1);
  t.same(
    [...parseKeyedValues("a 1\nb 9223372036854771712\nnovalue\n c\nlast 3")],
    [
      ["a", 1],
      ["b", noLimitV1],
      ["last", 3],
    ],
  );
  t.end();
});

// What the files said on a machine with cgroup v1, in part; the statistics are those a real agent sent for it.
const v1 = {
  pids: { "pids.current": "1\n", "pids.max": "max\n" },
  cpuacct: {
    "cpuacct.usage": "29562785\n",
    "cpuacct.stat": "user 1\nsystem 1\n",
    "cpuacct.usage_percpu": "14023690 15539095 \n",
  },
  cpu: { "cpu.stat": "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n" },
  memory: {
    "memory.stat":
      "cache 4096\nrss 53248\nrss_huge 0\npgpgin 1239\npgpgout 1225\npgfault 2035\npgmajfault 0\nswap 0\nhierarchical_memory_limit 25197858816\nhierarchical_memsw_limit 9223372036854771712\ntotal_cache 4096\ntotal_pgpgin 1239\ntotal_pgmajfault 2\n",
    "memory.limit_in_bytes": "9223372036854771712\n",
    "memory.usage_in_bytes": "729088\n",
    "memory.max_usage_in_bytes": "2781184\n",
    "memory.failcnt": "0\n",
    "memory.kmem.tcp.limit_in_bytes": "9223372036854771712\n",
    "memory.kmem.tcp.usage_in_bytes": "0\n",
    "memory.kmem.tcp.max_usage_in_bytes": "0\n",
    "memory.kmem.tcp.failcnt": "0\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n",
  },
  blkio: { "blkio.throttle.io_serviced": "Total 0\n", "blkio.throttle.io_service_bytes": "Total 0\n" },
};

test("v1 statistics have the wire's names, without zeros", (t) => {
  const root = t.testdir(v1);
  const statistics = readV1Statistics((controller) => `${root}/${controller}`);
  t.equal(
    stringifyJson(statistics),
    '{"pids":{"current":1},"cpu":{"usage":{"total":29562785,"kernel":10000000,"user":10000000,"per_cpu":[14023690,15539095]},"throttling":{}},' +
      '"memory":{"cache":4096,"rss":53248,"pg_pg_in":1239,"pg_pg_out":1225,"pg_fault":2035,"hierarchical_memory_limit":25197858816,"hierarchical_swap_limit":9223372036854771712,' +
      '"total_cache":4096,"total_pg_pg_in":1239,"total_pg_maj_fault":2,"usage":{"limit":9223372036854771712,"usage":729088,"max":2781184},"kernel_tcp":{"limit":9223372036854771712}},' +
      '"blkio":{},"memory_oom_control":{}}',
  );
  t.same(
    readV1Statistics(() => undefined),
    {},
  );
  t.same(
    readV1Statistics(() => `${root}/nowhere`),
    {},
    "a cgroup that is gone has none",
  );
  t.end();
});

test("v1 block statistics", (t) => {
  t.same(
    parseBlockEntries("254:0 Read 4096\n254:0 Write 0\n7:1 12\nTotal 4096\n").map(
      ({ device: _, ...entry }) => entry,
    ),
    [
      { op: "Read", major: 254, value: 4096 },
      { op: "Write", major: 254 },
      { major: 7, minor: 1, value: 12 },
    ],
  );
  t.end();
});

test("v2 statistics are told in v1's form", (t) => {
  const root = t.testdir({
    "pids.current": "3\n",
    "pids.max": "max\n",
    "cpu.stat":
      "usage_usec 9007199254740991\nuser_usec 2\nsystem_usec 3\nnr_periods 4\nnr_throttled 5\nthrottled_usec 6\n",
    "memory.stat":
      "anon 53248\nfile 4096\nkernel_stack 16384\nsock 8192\nfile_mapped 1\nfile_dirty 2\nfile_writeback 3\npgfault 20\npgmajfault 1\ninactive_anon 7\nunevictable 0\n",
    "memory.current": "729088\n",
    "memory.max": "max\n",
    "memory.peak": "800000\n",
    "memory.swap.current": "0\n",
    "memory.swap.max": "1048576\n",
    "memory.events": "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n",
    "io.stat": "254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n",
  });
  t.same(readV2Statistics(root), {
    pids: { current: 3, limit: noLimitV2 },
    cpu: {
      usage: { total: 9007199254740991000n, user: 2000, kernel: 3000 },
      throttling: { periods: 4, throttled_periods: 5, throttled_time: 6000 },
    },
    memory: {
      cache: 4096,
      rss: 53248,
      mapped_file: 1,
      dirty: 2,
      writeback: 3,
      pg_fault: 20,
      pg_maj_fault: 1,
      inactive_anon: 7,
      hierarchical_memory_limit: noLimitV2,
      hierarchical_swap_limit: 1048576,
      usage: { limit: noLimitV2, usage: 729088, max: 800000 },
      swap: { limit: 1048576 },
      kernel: { usage: 16384 },
      kernel_tcp: { usage: 8192 },
    },
    blkio: {
      io_service_bytes_recursive: [
        { op: "Read", major: 254, value: 4096 },
        { op: "Write", major: 254, value: 8192 },
      ],
      io_serviced_recursive: [
        { op: "Read", major: 254, value: 1 },
        { op: "Write", major: 254, value: 2 },
      ],
    },
    memory_oom_control: { oom_kill: 1 },
  });
  t.same(readV2Statistics(`${root}/nowhere`), {});
  t.end();
});

test("huge page sizes are named as the kernel's files are", (t) => {
  t.same(["hugepages-64kB", "hugepages-2048kB", "hugepages-1048576kB", "other"].map(pageSizeName), [
    "64KB",
    "2MB",
    "1GB",
    undefined,
  ]);
  t.end();
});
