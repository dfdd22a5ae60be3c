import type { StatisticsV2 } from "../../hcs/compute/schema2.ts";
import { JSON_OPTION, systemPath } from "./connection.ts";
import { formatAge, formatBytes, printTable } from "./table.ts";
import { SYSTEMS, serviceVerb } from "./verb.ts";

interface Answer {
  readonly Id: string;
  readonly Statistics: StatisticsV2;
  readonly LCOWMetrics?: { readonly pids?: { readonly current?: number } };
}

export const verb = serviceVerb({
  operands: [SYSTEMS],
  about: "Shows what containers have used.",
  options: [JSON_OPTION],
  async run(found, service) {
    const data = (await Promise.all(
      found.operands.map((id) => service.get(`${systemPath(id)}?v2=Statistics`)),
    )) as Answer[];
    const rows = data.map(
      ({ Id, Statistics: { Memory, Processor, Storage, Uptime100ns = 0 }, LCOWMetrics }) => [
        Id,
        formatBytes(Number(Memory.MemoryUsageCommitBytes ?? 0)),
        formatBytes(Number(Memory.MemoryUsageCommitPeakBytes ?? 0)),
        `${(Number(Processor.TotalRuntime100ns ?? 0) / 1e7).toFixed(2)} s`,
        String(LCOWMetrics?.pids?.current ?? 0),
        formatBytes(Number(Storage.ReadSizeBytes ?? 0)),
        formatBytes(Number(Storage.WriteSizeBytes ?? 0)),
        formatAge(Number(Uptime100ns) / 1e4),
      ],
    );
    const heading = ["NAME", "MEMORY", "PEAK", "CPU TIME", "PROCESSES", "READ", "WRITTEN", "UP"];
    await printTable(heading, rows, { wanted: found.has("json"), data });
    return 0;
  },
});
