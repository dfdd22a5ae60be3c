import { constants } from "node:os";
import { AgentError } from "../../errors.ts";
import { UsageError } from "../arguments.ts";
import { systemPath } from "./connection.ts";
import { verb } from "./verb.ts";

export const { main } = verb("signal", {
  operands: "NAME SIGNAL [PID]",
  about:
    "Sends a signal, such as TERM, SIGUSR1 or 10, to the container's first process, or to one started with exec.",
  options: [],
  count: [2, 3],
  async run({ operands: [id = "", signal = "", pid] }, service) {
    const body = { signal: signalNumber(signal) };
    const target = pid ?? String(await initOf(id));
    const path = systemPath(id, `processes/${encodeURIComponent(target)}/signal`);
    const { delivered } = (await service.post(path, body)) as { delivered: boolean };
    if (!delivered) throw new AgentError("PROCESS_NOT_FOUND", `process ${target} of ${id} has exited`);
    return 0;

    async function initOf(name: string): Promise<number> {
      const processes = (await service.get(systemPath(name, "processes"))) as {
        pid: number;
        init: boolean;
      }[];
      const init = processes.find((process) => process.init);
      if (init === undefined) throw new AgentError("PROCESS_NOT_FOUND", `${name} has no first process`);
      return init.pid;
    }
  },
});

function signalNumber(text: string): number {
  const name = text.toUpperCase();
  const named = (constants.signals as Record<string, number>)[name.startsWith("SIG") ? name : `SIG${name}`];
  const number = named ?? Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= 64) return number;
  throw new UsageError(`${text} is no signal; use a name such as TERM, or 1 to 64`);
}
