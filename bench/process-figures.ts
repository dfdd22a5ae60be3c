/** What the kernel says of a running process. */
import { readdirSync, readFileSync } from "node:fs";

/** Processor time of a process and its threads, without its children, in seconds, to the nanosecond. */
export function cpuSeconds(pid: number): number {
  const task = `/proc/${pid}/task`;
  let nanoseconds = 0;
  // The first field is the time on a processor: Documentation/scheduler/sched-stats.rst.
  for (const thread of readdirSync(task)) {
    nanoseconds += Number(readFileSync(`${task}/${thread}/schedstat`, "latin1").split(" ")[0]);
  }
  return nanoseconds / 1e9;
}

/** Memory that would be free if the process ended, in MB (10^6 bytes). */
export function privateMegabytes(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
  const kibibytes = [...rollup.matchAll(/^Private_\w+:\s+(\d+) kB$/gm)].map(([, size]) => Number(size));
  return (kibibytes.reduce((sum, size) => sum + size, 0) * 1024) / 1e6;
}
