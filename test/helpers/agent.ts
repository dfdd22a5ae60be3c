/** The real agent as a child process, over Unix sockets, with everything it makes under a directory of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { withDeadline } from "./raw-host.ts";

const root = new URL("../../", import.meta.url).pathname;

export interface Agent {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Unix socket prefix: guest port P is the socket PREFIX_P. */
  readonly prefix: string;
  /** Short, for socket paths; removed by stop(). */
  readonly directory: string;
  /** Absolute cgroup path under which its containers live. */
  readonly cgroupParent: string;
  log(): string;
  fdCount(): number;
  /** Ends it by SIGTERM and waits; it must leave by itself. Twice is no error. @returns its exit code. */
  stop(): Promise<number | null>;
}

let count = 0;

/** @param env beside the test's own. @param within words before its command, such as ip netns exec NAME */
export function startAgent(
  flags: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
  within: readonly string[] = [],
): Agent {
  const directory = mkdtempSync(`${tmpdir()}/gcs-`);
  const prefix = `${directory}/s`;
  const cgroupParent = `/gcs-test-${process.pid}-${count++}`;
  const [program = "", ...before] = [...within, `${root}bin/gcs`];
  const child = spawn(
    program,
    [
      ...before,
      ...["--transport", `unix:${prefix}`, "--cgroup-parent", cgroupParent, "--loglevel", "debug"],
      ...["--private-directory", `${directory}/private`, "--runtime-root", `${directory}/state`],
      ...["--log-format", "json", ...flags],
    ],
    { stdio: ["ignore", "inherit", "pipe"], env: { ...process.env, ...env } },
  );
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  const exited = once(child, "exit") as Promise<[number | null]>;
  return {
    child,
    pid: child.pid ?? -1,
    prefix,
    directory,
    cgroupParent,
    log: () => log,
    fdCount: () => readdirSync(`/proc/${child.pid}/fd`).length,
    async stop() {
      child.kill("SIGTERM");
      try {
        const [code] = await withDeadline(exited, `the agent's end; its log: ${log.slice(-2000)}`);
        return code;
      } finally {
        child.kill("SIGKILL");
        rmSync(directory, { recursive: true, force: true });
      }
    },
  };
}

/** Private bytes of a process, without what it shares with others. */
export function privateMemory(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return [...rollup.matchAll(/^Private_\w+:\s+(\d+) kB$/gm)].reduce(
    (sum, [, kib]) => sum + Number(kib) * 1024,
    0,
  );
}
