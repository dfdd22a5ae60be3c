import { availableParallelism, totalmem } from "node:os";

/** Below this the kernel cannot even unpack a small initrd. MiB. */
export const LEAST_MEMORY_MIB = 256;

/** What this machine has for its guests. */
export interface Capacity {
  readonly cpus: number;
  readonly memoryMiB: number;
}

/** A limit on this process's control group is one on its guests, too. */
export function machineCapacity(): Capacity {
  const limit = process.constrainedMemory() || Number.POSITIVE_INFINITY;
  return { cpus: availableParallelism(), memoryMiB: Math.floor(Math.min(totalmem(), limit) / 2 ** 20) };
}
