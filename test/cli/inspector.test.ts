/**
 * SIGUSR1 opens Node's inspector, through which whoever reaches the machine's loopback runs code as the user of that
 * process: in no process of ours. What takes the signal is shown by the kernel: no thread of a process that ignores it
 * does, so it stays pending, and nothing of ours listens.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { constants } from "node:os";
import { type Test, test } from "tap";
import { TestService } from "../hcs/serve/support.ts";
import { agentsOf, footprintOf } from "../helpers/leftovers.ts";
import { Lcow } from "./lcow.ts";

const USR1 = 1n << BigInt(constants.signals.SIGUSR1 - 1);

/** Which of the process's threads have the signal blocked: their number and that of all. */
function blocked(pid: number): { blocked: number; threads: number } {
  const threads = readdirSync(`/proc/${pid}/task`);
  const masks = threads.map((thread) => {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
    return BigInt(`0x${/^SigBlk:\t(\w+)/m.exec(status)?.[1] ?? "0"}`);
  });
  return { blocked: masks.filter((mask) => (mask & USR1) !== 0n).length, threads: threads.length };
}

function isPending(pid: number): boolean {
  const pending = /^ShdPnd:\t(\w+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "0";
  return (BigInt(`0x${pending}`) & USR1) !== 0n;
}

/** The TCP ports on which the process listens. */
function tcpPorts(pid: number): number[] {
  const sockets = readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
    } catch {
      return undefined; // closed meanwhile
    }
  });
  const table = ["tcp", "tcp6"].flatMap((name) => readFileSync(`/proc/net/${name}`, "utf8").split("\n"));
  return table.flatMap((line) => {
    const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/);
    return state === "0A" && sockets.includes(inode) ? [Number.parseInt(local.split(":")[1] ?? "", 16)] : [];
  });
}

function ignores(t: Test, pid: number, what: string): void {
  process.kill(pid, "SIGUSR1");
  const { blocked: count, threads } = blocked(pid);
  t.equal(count, threads, `${what}: no thread takes the signal`);
  t.ok(isPending(pid), `${what}: none has taken it`);
  t.same(tcpPorts(pid), [], `${what}: no port`);
}

test("SIGUSR1 opens no port of lcow run and its agent, and reaches the command", async (t) => {
  const script = "trap 'echo got it' USR1; trap 'exit 4' TERM; echo ready; while :; do sleep 0.05; done";
  const running = new Lcow(t, ["run", "--local", "--", "/bin/sh", "-c", script]);
  await running.shows("ready");
  await footprintOf(running.pid);
  const agent = Number.parseInt(agentsOf(running.pid)[0]?.processes[0] ?? "", 10);
  ignores(t, agent, "the agent");
  process.kill(running.pid, "SIGUSR1");
  await running.shows("got it");
  t.same(tcpPorts(running.pid), [], "lcow run: no port");
  running.child.kill("SIGTERM");
  t.match(await running.result(), { status: 4, stderr: "" });
});

test("SIGUSR1 opens no port of lcow serve, of a keeper and of its agent", async (t) => {
  const service = new TestService(t);
  const daemon = await service.start();
  const create = ["create", "--local", "one", "--", "/bin/sh", "-c", "echo started; sleep 1000"];
  await service.ok(...create);
  await service.ok("start", "one");
  ignores(t, daemon, "lcow serve");
  const keepers = service.keepers();
  t.equal(keepers.length, 1);
  for (const keeper of keepers) {
    ignores(t, keeper, "the keeper");
    for (const agent of agentsOf(keeper))
      ignores(t, Number.parseInt(agent.processes[0] ?? "", 10), "the agent");
  }
  await service.ok("rm", "--force", "one");
});
