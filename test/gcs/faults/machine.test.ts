/** Faults of the machine, one test each, all done to one agent; world.ts has what is checked after each. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import type { Test } from "tap";
import { execParameters, executeBody } from "../../helpers/gcs-requests.ts";
import { reExecuteInMountNamespace } from "../../helpers/mount-namespace.ts";
import { FewProcesses, leaveDescriptors, makeCgroupsReadOnly, SmallDisk } from "./limits.ts";
import { FaultWorld, ok, type Reply } from "./world.ts";

const ID = "hit";
/** Where the runtime cannot write its log either, it gives no reason. */
const NO_SPACE = /ENOSPC|no space left|unable to store init state|it gave no reason/i;

if (!reExecuteInMountNamespace()) {
  // Only now: a tap that is imported reports, and the inner program does that.
  const { default: t } = await import("tap");
  const path = mkdtempSync(`${tmpdir()}/disk-`);
  const disk = new SmallDisk(path);
  t.teardown(() => {
    disk.unmount();
    rmSync(path, { recursive: true });
  });
  // Everything of the agent's: bundles, its own files, the runtime's state.
  process.env.TMPDIR = path;
  await doFaults(t as Test, disk);
}

async function doFaults(t: Test, disk: SmallDisk): Promise<void> {
  const world = await FaultWorld.start(t);

  /** Creates, starts and ends a container, and executes a process, as far as it goes. @returns why it went no further */
  async function tryLife(): Promise<string[]> {
    const failed: string[] = [];
    const note = (what: string, { Result, ErrorMessage }: Reply) => {
      if (Result !== 0) failed.push(`${what}: ${ErrorMessage}`);
      return Result === 0;
    };
    const ports = { StdOut: 0x51000001 };
    const exec = executeBody(
      "bystander",
      execParameters(["/bin/sleep", "0"], { CreateStdOutPipe: true }),
      ports,
    );
    note("exec", await world.request("ExecuteProcess", exec));
    if (!note("create", await world.create(ID))) return failed;
    if (note("start", await world.start(ID))) await world.request("ShutdownForced", { ContainerId: ID });
    await world.exitOf(ID);
    note("delete", await world.delete(ID));
    return failed;
  }

  /**
   * With less and less room, so that each step is the one for which there is none.
   * @param rooms units of what is short
   * @param says of every failure
   */
  async function squeeze(
    t: Test,
    rooms: readonly number[],
    leave: (room: number) => void,
    relieve: () => void,
    says: RegExp,
  ): Promise<void> {
    const outcomes = new Set<string>();
    for (const room of rooms) {
      leave(room);
      const failed = await tryLife();
      relieve();
      for (const words of failed) t.match(words, says, `${room}`);
      for (const words of failed) outcomes.add(words.split(":", 1)[0] ?? "");
      // Deleted at last by what has room again.
      if (failed.some((words) => words.startsWith("delete"))) await ok(world.delete(ID));
    }
    t.ok(outcomes.size > 0, `failed were ${[...outcomes].join(", ")}`);
    await world.checkUnharmed(t, ID);
  }

  await t.test("the disk is full", (t) => {
    const rooms = [0, 4, 8, 12, 16, 24, 32, 48].map((pages) => pages * 1024);
    return squeeze(
      t,
      rooms,
      (room) => disk.leaveBytes(room),
      () => disk.relieve(),
      NO_SPACE,
    );
  });

  await t.test("no file can be made", (t) => {
    const rooms = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14];
    return squeeze(
      t,
      rooms,
      (room) => disk.leaveFiles(room),
      () => disk.relieve(),
      NO_SPACE,
    );
  });

  await t.test("no descriptor can be opened", async (t) => {
    const rooms = [0, 1, 2, 3, 4, 5, 6, 8, 10, 12];
    let relieve = () => {};
    const leave = (room: number) => {
      relieve = leaveDescriptors(world.agent.pid, room);
    };
    await squeeze(t, rooms, leave, () => relieve(), /EMFILE|too many open files/i);
  });

  await t.test("no process can be made", async (t) => {
    const few = new FewProcesses(world.agent.pid, `few-${process.pid}`);
    t.teardown(() => few.remove());
    const rooms = [0, 1, 2, 4, 6, 8, 10, 12, 15];
    await squeeze(
      t,
      rooms,
      (room) => few.leave(room),
      () => few.relieve(),
      /EAGAIN|resource temporarily|exit code/i,
    );
  });

  await t.test("the cgroups are read-only", async (t) => {
    await ok(world.create("stopped"));
    await ok(world.start("stopped"));
    await ok(world.request("ShutdownForced", { ContainerId: "stopped" }));
    await world.exitOf("stopped");
    const relieve = makeCgroupsReadOnly();
    const created = await world.create(ID);
    const executed = await world.exec("bystander");
    const deleted = await world.delete("stopped");
    relieve();
    t.match(created, { ErrorMessage: /read-only file system/ });
    t.match(executed, { ErrorMessage: /read-only file system/ });
    t.match(deleted, { ErrorMessage: /cgroup/ });
    await ok(world.delete("stopped"));
    await world.checkUnharmed(t, ID);
  });

  await t.test("a container's first process is killed before it is started", async (t) => {
    await ok(world.create(ID));
    const { Properties } = await ok(
      world.request("GetProperties", { ContainerId: ID, Query: '{"PropertyTypes":["ProcessList"]}' }),
    );
    const [{ ProcessId }] = JSON.parse(String(Properties)).ProcessList;
    process.kill(ProcessId, "SIGKILL");
    t.match(await ok(world.wait(ID, ProcessId)), { ExitCode: 137 });
    t.not((await world.start(ID)).Result, 0);
    await ok(world.delete(ID));
    await world.checkUnharmed(t, ID);
  });

  await t.test("a container's first process is killed while it runs", async (t) => {
    await ok(world.create(ID));
    const { ProcessId } = await ok(world.start(ID));
    const executed = await ok(world.exec(ID));
    process.kill(Number(ProcessId), "SIGKILL");
    t.match(await world.exitOf(ID), { body: { Type: "UnexpectedExit" } });
    t.match(await ok(world.wait(ID, ProcessId)), { ExitCode: 137 });
    t.match(await ok(world.wait(ID, executed.ProcessId)), { ExitCode: 137 }, "what is in it ends with it");
    await ok(world.delete(ID));
    await world.checkUnharmed(t, ID);
  });
}
