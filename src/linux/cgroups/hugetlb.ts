import { readdirSync } from "node:fs";
import { isSystemError } from "../../common/system-error.ts";
import { parseUnsigned, readKernelFile } from "./files.ts";
import { type HugetlbStatistics, withoutZeros } from "./statistics.ts";

let pageSizes: string[] | undefined;

/** Huge pages of every size the kernel has, as `hugetlb.2MB.*` files tell; empty where it has none. */
export function readHugetlbStatistics(directory: string, version: 1 | 2): HugetlbStatistics[] {
  const [usage, max, failures] =
    version === 1 ? ["usage_in_bytes", "max_usage_in_bytes", "failcnt"] : ["current", "max", "events"];
  const statistics: HugetlbStatistics[] = [];
  pageSizes ??= listPageSizes();
  for (const pagesize of pageSizes) {
    const read = (name: string | undefined) => readKernelFile(`${directory}/hugetlb.${pagesize}.${name}`);
    const current = read(usage);
    if (current === undefined) continue;
    // The v2 file of events reads "max 3".
    const failcnt = parseUnsigned((read(failures) ?? "0").replace(/^max /, ""));
    const limits = { usage: parseUnsigned(current), max: parseUnsigned(read(max) ?? "0"), failcnt };
    statistics.push(withoutZeros({ ...limits, pagesize }));
  }
  return statistics;
}

/** "hugepages-2048kB" is "2MB" in the names of cgroup files. */
export function pageSizeName(directoryName: string): string | undefined {
  const match = /^hugepages-(\d+)kB$/.exec(directoryName);
  if (!match) return undefined;
  const kibibytes = Number(match[1]);
  if (kibibytes >= 1 << 20) return `${kibibytes >> 20}GB`;
  return kibibytes >= 1 << 10 ? `${kibibytes >> 10}MB` : `${kibibytes}KB`;
}

function listPageSizes(): string[] {
  try {
    return readdirSync("/sys/kernel/mm/hugepages")
      .map(pageSizeName)
      .filter((name) => name !== undefined);
  } catch (error) {
    if (isSystemError(error, "ENOENT")) return [];
    throw error;
  }
}
