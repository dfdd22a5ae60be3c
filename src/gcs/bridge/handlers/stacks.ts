import type { Handler } from "./handler.ts";

/**
 * What a Node process can honestly tell: it has one stack, this one, so what hangs shows as operations that are
 * pending, with their age, and as the handles that keep the event loop alive.
 */
export const dumpStacks: Handler<"DumpStacks"> = (context) => {
  const now = performance.now();
  const age = (since: number) => `${((now - since) / 1000).toFixed(3)} s`;
  const pending = [...context.pending].map(
    ({ name, messageId, containerId, startedAt }) =>
      `  ${name} id=${messageId} container=${containerId || "-"} pending for ${age(startedAt)}`,
  );
  const containers = context.uvm.containers.map(({ id, status, init, processes }) => {
    const running = [...processes.running].map(({ pid }) => pid).join(" ");
    return `  ${id} ${status} init=${init.pid} running: ${running || "none"}`;
  });
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
      block("containers", containers),
      block(
        "processes outside containers",
        [...context.uvm.processes.running].map(({ pid }) => `  ${pid}`),
      ),
      block(
        "active handles",
        [...handles].map(([type, count]) => `  ${type} ${count}`),
      ),
      block("memory", memory),
    ].join("\n"),
  };
};
