import { readdirSync } from "node:fs";
import { AgentError } from "../common/errors.ts";
import { isSystemError } from "../common/system-error.ts";
import { type Mounted, mount } from "./mount.ts";

const UNITS = { K: 1, M: 1024, G: 1024 * 1024 } as const;
/** One directory a size: Documentation/admin-guide/mm/hugetlbpage.rst. */
const SIZES = "/sys/kernel/mm/hugepages";

/**
 * Mounts a file system of huge pages.
 * @param target absolute; made when missing. @param pageSize such as "2M"
 * @throws AgentError INVALID_ARGUMENT for a size that the kernel has no pages of; MOUNT_FAILED
 */
export async function mountHugePages(target: string, pageSize: string): Promise<Mounted> {
  const kib = kibOf(pageSize);
  const sizes = kernelSizes();
  if (kib === undefined || !sizes.includes(kib)) {
    const has = sizes.length === 0 ? "none" : sizes.map(sizeName).join(", ");
    throw new AgentError(
      "INVALID_ARGUMENT",
      `the kernel has no huge pages of ${pageSize}; of these sizes: ${has}`,
    );
  }
  return await mount({ source: "none", target, type: "hugetlbfs", options: [`pagesize=${kib}K`] });
}

function kibOf(pageSize: string): number | undefined {
  const [, number, unit] = /^(\d{1,10})([KMG])$/.exec(pageSize) ?? [];
  return unit === undefined ? undefined : Number(number) * UNITS[unit as keyof typeof UNITS];
}

function kernelSizes(): number[] {
  try {
    return readdirSync(SIZES)
      .flatMap((name) => /^hugepages-(\d+)kB$/.exec(name)?.[1] ?? [])
      .map(Number)
      .toSorted((one, other) => one - other);
  } catch (error) {
    // A kernel without them has no such directory.
    if (isSystemError(error, "ENOENT")) return [];
    throw error;
  }
}

function sizeName(kib: number): string {
  for (const [unit, factor] of [
    ["G", UNITS.G],
    ["M", UNITS.M],
  ] as const)
    if (kib % factor === 0) return `${kib / factor}${unit}`;
  return `${kib}K`;
}
