import { AgentError } from "../../common/errors.ts";
import { readCount, readSignal } from "../values.ts";
import { type Connection, systemPath } from "./connection.ts";
import { SYSTEM, serviceVerb } from "./verb.ts";

/** pid_max of a kernel of 64 bits; proc(5). */
const LARGEST_PID = 2 ** 22;

export const verb = serviceVerb({
  operands: [
    SYSTEM,
    { name: "SIGNAL", read: readSignal, completes: "signal" },
    { name: "PID", optional: true, read: readCount(1, LARGEST_PID) },
  ],
  about: `Sends a signal, such as TERM, SIGUSR1, RTMIN+1 or 10, to the container's first process, or to one started with
exec. See also: lcow kill.`,
  options: [],
  async run({ operands: [id = "", signal = "", pid] }, service) {
    await sendSignal(service, id, readSignal(signal, signal), pid);
    return 0;
  },
});

/** @param pid default the first process's @throws AgentError PROCESS_NOT_FOUND */
export async function sendSignal(
  service: Connection,
  id: string,
  signal: number,
  pid?: string,
): Promise<void> {
  const target = pid ?? String(await initOf(service, id));
  const path = systemPath(id, `processes/${target}/signal`);
  const { delivered } = (await service.post(path, { signal })) as { delivered: boolean };
  if (!delivered) throw new AgentError("PROCESS_NOT_FOUND", `process ${target} of ${id} has exited`);
}

/** The pid of a container's first process. @throws AgentError PROCESS_NOT_FOUND */
export async function initOf(service: Connection, id: string): Promise<number> {
  const processes = (await service.get(systemPath(id, "processes"))) as { pid: number; init: boolean }[];
  const init = processes.find((process) => process.init);
  if (init === undefined) throw new AgentError("PROCESS_NOT_FOUND", `${id} has no first process`);
  return init.pid;
}
