import { setTimeout as sleep } from "node:timers/promises";
import { isatty } from "node:tty";
import type { StatisticsV2 } from "../../hcs/compute/documents/schema2.ts";
import { print } from "../output.ts";
import { type Connection, JSON_OPTION, systemPath } from "./connection.ts";
import { forEachSystem } from "./for-each.ts";
import { formatAge, formatBytes, formatTable, printTable } from "./table.ts";
import { SYSTEMS, serviceVerb } from "./verb.ts";

interface Answer {
  readonly Id: string;
  readonly Statistics: StatisticsV2;
  readonly LCOWMetrics?: { readonly pids?: { readonly current?: number } };
}

/** How often a live table is drawn anew. */
const REFRESH_MS = 1_000;
const HEADING = ["NAME", "MEMORY", "PEAK", "CPU TIME", "PROCESSES", "READ", "WRITTEN", "UP"];
/** To the upper left; the rest of the line; the rest of the screen. */
const [HOME, CLEAR_LINE, CLEAR_BELOW] = ["\x1b[H", "\x1b[K", "\x1b[J"];

export const verb = serviceVerb({
  operands: [{ ...SYSTEMS, optional: true }],
  about:
    "Shows what containers use and have used, of all that run by default. On a terminal it goes on until Ctrl-C.",
  options: [JSON_OPTION, { name: "no-stream", help: "once only, as it is where this is no terminal" }],
  async run(found, service) {
    const { operands } = found;
    if (found.has("json") || found.has("no-stream") || !isatty(1)) {
      const { answers, status } = await ask(service, operands);
      await printTable(HEADING, answers.map(rowOf), { wanted: found.has("json"), data: answers });
      return status;
    }
    await print(`${HOME}${CLEAR_BELOW}`);
    for (;;) {
      const { answers, status } = await ask(service, operands);
      if (status !== 0) return status;
      const lines = formatTable(HEADING, answers.map(rowOf)).replaceAll("\n", `${CLEAR_LINE}\n`);
      await print(`${HOME}${lines}${CLEAR_BELOW}`);
      await sleep(REFRESH_MS);
    }
  },
});

/** Of those that are named, or of all that run. */
async function ask(service: Connection, names: readonly string[]) {
  const wanted = names.length > 0 ? names : await runningSystems(service);
  const answers = new Map<string, Answer>();
  const status = await forEachSystem(wanted, async (id) => {
    try {
      answers.set(id, (await service.get(`${systemPath(id)}?v2=Statistics`)) as Answer);
    } catch (error) {
      // One of all may just have ended.
      if (names.length > 0) throw error;
    }
    return undefined;
  });
  return { answers: wanted.map((id) => answers.get(id)).filter((answer) => answer !== undefined), status };
}

async function runningSystems(service: Connection): Promise<string[]> {
  const systems = (await service.get("/systems")) as { Id: string; SystemType: string; State: string }[];
  return systems
    .filter(({ SystemType, State }) => SystemType === "Container" && State === "Running")
    .map(({ Id }) => Id);
}

function rowOf({ Id, Statistics, LCOWMetrics }: Answer): string[] {
  const { Memory, Processor, Storage, Uptime100ns = 0 } = Statistics;
  return [
    Id,
    formatBytes(Number(Memory.MemoryUsageCommitBytes ?? 0)),
    formatBytes(Number(Memory.MemoryUsageCommitPeakBytes ?? 0)),
    `${(Number(Processor.TotalRuntime100ns ?? 0) / 1e7).toFixed(2)} s`,
    String(LCOWMetrics?.pids?.current ?? 0),
    formatBytes(Number(Storage.ReadSizeBytes ?? 0)),
    formatBytes(Number(Storage.WriteSizeBytes ?? 0)),
    formatAge(Number(Uptime100ns) / 1e4),
  ];
}
