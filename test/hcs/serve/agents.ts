import { existsSync, globSync, readdirSync, readFileSync } from "node:fs";
import type { TestService } from "./support.ts";

/** Process id of the agent that the keeper on this machine has. */
export function agentOf(service: TestService): number {
  const [keeper] = service.keepers();
  const found = readdirSync("/proc").find((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return (
        readFileSync(`/proc/${name}/cmdline`, "utf8").includes("--private-directory=") &&
        new RegExp(`\\) . ${keeper} `).test(readFileSync(`/proc/${name}/stat`, "utf8"))
      );
    } catch {
      // It has ended meanwhile.
      return false;
    }
  });
  return Number(found);
}

/** What an agent has outside of its memory. */
export function tracesOf(agent: number): () => string[] {
  const words = readFileSync(`/proc/${agent}/cmdline`, "utf8").split("\0");
  const directory = words.find((word) => word.startsWith("--private-directory="))?.split("=")[1] ?? "";
  const name = directory.split("/").at(-1);
  return () => [
    ...globSync(`/sys/fs/cgroup/${name}`),
    ...globSync(`/sys/fs/cgroup/*/${name}`),
    ...(existsSync(directory) ? [directory] : []),
    ...readFileSync("/proc/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes(`${directory}/`)),
  ];
}
