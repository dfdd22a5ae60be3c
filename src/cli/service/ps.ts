import { UsageError } from "../arguments.ts";
import { say } from "../output.ts";
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
a command; the others are their children. Of thousands the first are shown, and standard error says how many there are.`,
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
    })) as { ProcessList?: { ProcessId: number }[]; ProcessCount?: number };
    const running = (properties.ProcessList ?? []).map(({ ProcessId }) => ProcessId);
    const isCut = properties.ProcessCount !== undefined;
    const kept = known.filter(({ pid, exitCode }) => {
      if (exitCode !== undefined) return found.has("all");
      // Behind the list's end nobody says that it runs, but that it has ended would be known.
      return running.includes(pid) || (isCut && pid > Math.max(0, ...running));
    });
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
    if (properties.ProcessCount !== undefined) {
      const listed = running.length;
      say(
        `of ${properties.ProcessCount} processes the first ${listed} are shown: the guest tells no more at once`,
      );
    }
    await printTable(["PID", "KIND", "STATE", "COMMAND"], rows, { wanted: found.has("json"), data });
    return 0;
  },
});
