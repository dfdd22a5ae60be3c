import { worksUnderWay } from "../../../common/under-way.ts";
import type { UvmProcess } from "../../uvm/process.ts";
import type { Handler } from "./handler.ts";

/**
 * What a Node process can honestly tell: it has one stack, this one, so what hangs shows as what is pending, each with
 * its age and whose it is, and as the handles that keep the event loop alive.
 */
export const dumpStacks: Handler<"DumpStacks"> = (context) => {
  const now = performance.now();
  const age = (since: number) => `${((now - since) / 1000).toFixed(3)} s`;
  const pending = [...context.pending].map(
    ({ name, messageId, containerId, processId, startedAt }) =>
      `  ${name} id=${messageId} container=${containerId || "-"}${processId === undefined ? "" : ` process=${processId}`} pending for ${age(startedAt)}`,
  );
  const works = worksUnderWay().map(({ what, startedAt }) => `  ${what} for ${age(startedAt)}`);
  const processes = (held: readonly UvmProcess[], init?: UvmProcess) =>
    held.map((process) => {
      const { pid, startedAt, exitCode, waitCount } = process;
      const relays = process.relays.map(
        ({ stream, bytes, hasEnded }) => `, ${stream} ${hasEnded ? "ended after" : "open,"} ${bytes} bytes`,
      );
      const is = exitCode === undefined ? "running" : `exited with ${exitCode}`;
      const role = process === init ? " (init)" : "";
      return `    process ${pid}${role} ${is}, started ${age(startedAt)} ago, waited for by ${waitCount}${relays.join("")}`;
    });
  const containers = context.uvm.containers.flatMap(({ id, status, init, processes: { held } }) => [
    `  ${id} ${status}`,
    ...processes(held, init),
  ]);
  const handles = new Map<string, number>();
  for (const type of process.getActiveResourcesInfo()) handles.set(type, (handles.get(type) ?? 0) + 1);
  const memory = Object.entries(process.memoryUsage()).map(([name, bytes]) => `  ${name} ${bytes} bytes`);
  const block = (title: string, lines: string[]) =>
    `${title}:\n${lines.length > 0 ? lines.join("\n") : "  none"}\n`;
  return {
    GuestStacks: [
      `gcs pid ${process.pid}, Node ${process.version}, up ${process.uptime().toFixed(3)} s`,
      `programs started: ${context.uvm.programsStarted}\n`,
      block("pending operations", pending),
      block("under way", works),
      block("containers", containers),
      block("processes outside containers", processes(context.uvm.processes.held)),
      block(
        "active handles",
        [...handles].map(([type, count]) => `  ${type} ${count}`),
      ),
      block("memory", memory),
    ].join("\n"),
  };
};
