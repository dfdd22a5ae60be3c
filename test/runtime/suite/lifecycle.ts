import { existsSync, mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { copyRootfs } from "../../helpers/rootfs.ts";
import { type Member, shell } from "./context.ts";

export const lifecycle: Record<string, Member> = {
  async "a container's output and exit code reach its host"(t, context) {
    const { container, host } = await context.run("one", {
      args: ["/bin/sh", "-c", "echo hello; echo oops >&2; exit 3"],
    });
    t.equal(await container.getInitProcess().wait(), 3);
    t.equal(await host.stdout.all(), "hello\n");
    t.equal(await host.stderr.all(), "oops\n");
    await container.delete();
  },

  async "stdin reaches the container, and its end too"(t, context) {
    const { container, host } = await context.run("cat", { args: ["/bin/cat"] });
    host.stdin.write("some text\n");
    await host.stdout.until("some text\n");
    host.stdin.end();
    t.equal(await container.getInitProcess().wait(), 0);
    t.equal(await host.stdout.all(), "some text\n");
    await container.delete();
  },

  async "every state is told"(t, context) {
    const container = await context.create("states", { args: ["/bin/sleep", "1000"] });
    const bundle = `${context.directory}/b1`;
    const created = await container.getState();
    t.match(created, { id: "states", pid: container.pid, status: "created", bundle });
    t.ok(existsSync(`${created.rootfs}/bin/sh`), "the root is an absolute path");
    t.ok(Math.abs(Date.parse(created.created) - Date.now()) < 60_000, "the time of creation is told");
    await container.start();
    t.equal((await container.getState()).status, "running");
    t.match(await context.runtime.listContainerStates(), [{ ...created, status: "running" }]);
    await container.pause();
    t.equal((await container.getState()).status, "paused");
    await container.resume();
    t.equal((await container.getState()).status, "running");
    await container.kill(9);
    t.equal(await container.getInitProcess().wait(), 128 + 9);
    t.match(await container.getState(), { status: "stopped", pid: 0 });
    t.equal(await container.exists(), true);
    await container.delete();
    t.equal(await container.exists(), false);
  },

  async "a container that was never started can be deleted"(t, context) {
    const container = await context.create("unstarted", { args: ["/bin/true"] });
    await container.delete();
    t.ok((await container.getInitProcess().exited) > 0);
    await t.rejects(container.start(), { code: "CONTAINER_DOES_NOT_EXIST" });
  },

  async "a container can be started once"(t, context) {
    const { container } = await context.run("once", { args: ["/bin/sleep", "1000"] });
    await t.rejects(container.start(), { code: "INVALID_STATE" });
    t.equal((await container.getState()).status, "running");
  },

  async "init has a terminal: its size, what is typed, what it shows"(t, context) {
    const { container, host } = await context.run("terminal", {
      terminal: true,
      consoleSize: { height: 11, width: 33 },
      args: ["/bin/sh", "-c", "stty size; read answer; stty size; echo got $answer"],
    });
    const { tty } = container.getInitProcess();
    await host.stdout.until("11 33");
    await tty?.resize(50, 100);
    host.stdin.write("this\n");
    t.equal(await container.getInitProcess().wait(), 0);
    t.match(await host.stdout.all(), /^11 33\r\n(this\r\n)?50 100\r\ngot this\r\n$/);
    await container.delete();
    await tty?.resize(1, 1);
  },

  async "the working directory is made, and never outside the root"(t, context) {
    const rootfs = copyRootfs(`${context.directory}/rootfs`);
    const { container, host } = await context.run("cwd", { rootfs, cwd: "/made/for/me", args: ["/bin/pwd"] });
    t.equal(await container.getInitProcess().wait(), 0);
    t.equal(await host.stdout.all(), "/made/for/me\n");
    await container.delete();

    const outside = `${context.directory}/outside`;
    mkdirSync(outside);
    symlinkSync(outside, `${rootfs}/escape`);
    // Whether the runtime refuses it or makes it inside is the runtime's choice.
    const trapped = await context
      .create("escape", { rootfs, cwd: "/escape/dir", args: ["/bin/pwd"] })
      .catch(() => undefined);
    await trapped?.delete({ force: true });
    t.same(readdirSync(outside), [], "nothing was made through the link");
  },

  async "limits are changed, to the digit"(t, context) {
    const container = await context.create("limits", { args: ["/bin/sleep", "1000"] });
    await container.update({ memory: { limit: 64 * 1024 * 1024 }, pids: { limit: 77 } });
    t.match(container.getStatistics(), {
      memory: { usage: { limit: 64 * 1024 * 1024 } },
      pids: { limit: 77 },
    });
    // 2^63 rounded down to pages: the largest limit, which a number cannot hold exactly.
    const largest = 9223372036854771712n;
    await container.update({ memory: { limit: largest } });
    t.equal(container.getStatistics().memory?.usage?.limit, largest);
    await t.rejects(container.update({ memory: { limit: 1 } }), { code: "RUNTIME_FAILED" });
  },

  async "statistics have the names that hosts read"(t, context) {
    const { container, host } = await context.run("statistics", {
      args: ["/bin/sh", "-c", "echo ready; exec sleep 1000"],
    });
    await host.stdout.until("ready");
    const statistics = container.getStatistics();
    t.equal(statistics.pids?.current, 1);
    t.ok(Number(statistics.cpu?.usage.total) > 0);
    t.ok(Number(statistics.memory?.usage?.usage) > 0);
    t.ok(Number(statistics.memory?.usage?.limit) > 0);
    await container.delete({ force: true });
    t.throws(() => container.getStatistics(), { code: "CGROUP_UNAVAILABLE" });
  },

  async "the processes of a container are listed"(t, context) {
    const { container, host } = await context.run("list", {
      args: ["/bin/sh", "-c", "sleep 1001 & echo ready; wait"],
    });
    await host.stdout.until("ready");
    const execHost = context.host();
    const exec = await container.execProcess(shell("echo up; exec sleep 1002"), execHost.set);
    await execHost.stdout.until("up");
    // Forked, they carry their parent's command line until they have executed their own.
    const ready = async () => {
      const commands = (await container.getRunningProcesses()).map(({ command }) => command.join(" "));
      return commands.includes("sleep 1001") && commands.includes("sleep 1002");
    };
    while (!(await ready())) await delay(5);
    // By command: process ids begin anew when they have run out, so they tell nothing of the order.
    const states = (await container.getAllProcesses())
      .map(({ pid, ...state }) => ({ ...state, ours: pid }))
      .sort((a, b) => a.command.join(" ").localeCompare(b.command.join(" ")));
    t.equal(states.length, 3);
    t.match(states, [
      {
        ours: container.pid,
        createdByRuntime: true,
        isZombie: false,
        command: ["/bin/sh", "-c", /sleep 1001/],
      },
      { createdByRuntime: false, isZombie: false, command: ["sleep", "1001"] },
      { ours: exec.pid, createdByRuntime: true, isZombie: false, command: ["sleep", "1002"] },
    ]);
    t.same(await container.getRunningProcesses(), await container.getAllProcesses());
    exec.signal(9);
    t.equal(await exec.wait(), 137);
    t.equal((await container.getRunningProcesses()).length, 2);
  },
};
