import { UsageError } from "../arguments.ts";
import { JSON_OPTION, systemPath } from "./connection.ts";
import { printTable } from "./table.ts";
import { SYSTEM, serviceVerb } from "./verb.ts";

interface Known {
  readonly pid: number;
  readonly init: boolean;
  readonly command: string;
  readonly exitCode?: number;
}

export const verb = serviceVerb({
  operands: [{ ...SYSTEM, optional: true }],
  about: `Shows a container's processes, by their ids in the virtual machine. Those started with create and exec have
a command; the others are their children.`,
  options: [JSON_OPTION, { name: "all", short: "a", help: "also those that have exited" }],
  async run(found, service) {
    const [id] = found.operands;
    if (id === undefined)
      throw new UsageError("ps needs the NAME of a container; all are shown by: lcow list");
    const known = (await service.get(systemPath(id, "processes"))) as Known[];
    const properties = (await service.get(`${systemPath(id)}?v1=ProcessList`).catch((error: unknown) => {
      // What has stopped has none; those that are known have their exit codes.
      if (found.has("all")) return {};
      throw error;
    })) as { ProcessList?: { ProcessId: number }[] };
    const running = (properties.ProcessList ?? []).map(({ ProcessId }) => ProcessId);
    const kept = known.filter(
      ({ pid, exitCode }) => running.includes(pid) || (found.has("all") && exitCode !== undefined),
    );
    const others = running.filter((pid) => !known.some((process) => process.pid === pid));
    const data = [...kept, ...others.map((pid): Known => ({ pid, init: false, command: "" }))].toSorted(
      (one, other) => one.pid - other.pid,
    );
    const rows = data.map(({ pid, init, command, exitCode }) => [
      String(pid),
      init ? "init" : command === "" ? "child" : "exec",
      exitCode === undefined ? "running" : `exited ${exitCode}`,
      command,
    ]);
    await printTable(["PID", "KIND", "STATE", "COMMAND"], rows, { wanted: found.has("json"), data });
    return 0;
  },
});
