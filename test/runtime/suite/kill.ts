import { execFileSync } from "node:child_process";
import { type Member, processExists, shell } from "./context.ts";

export const kill: Record<string, Member> = {
  async "a signal reaches init, or every process"(t, context) {
    const script = "trap 'echo init got it' USR1; echo ready; while :; do sleep 0.05; done";
    const { container, host } = await context.run("usr1", { args: ["/bin/sh", "-c", script] });
    await host.stdout.until("ready");
    const other = context.host();
    const process = await container.execProcess(
      shell("trap 'echo the other too; exit 8' USR1; echo ready; while :; do sleep 0.05; done"),
      other.set,
    );
    await other.stdout.until("ready");
    await container.kill(10, { all: true });
    t.equal(await process.wait(), 8);
    await host.stdout.until("init got it");
    await other.stdout.until("the other too");
    await container.kill(9);
    t.equal(await container.getInitProcess().wait(), 137);
    await container.delete();
  },

  async "what forks without end is killed all the same"(t, context) {
    const script = "while :; do sleep 0.01 & done";
    const { container } = await context.run("forks", {
      args: ["/bin/sh", "-c", script],
      sharePidNamespace: true,
    });
    await container.kill(9, { all: true });
    t.equal(await container.getInitProcess().wait(), 137);
    t.same(await container.getRunningProcesses(), []);
    await container.delete();
  },

  async "a paused container can be killed"(t, context) {
    for (const all of [false, true]) {
      const { container } = await context.run("paused", { args: ["/bin/sleep", "1000"] });
      await container.pause();
      await container.kill(9, { all });
      t.equal(await container.getInitProcess().wait(), 137);
      await container.delete();
    }
  },

  async "the rest of a container without a pid namespace of its own ends with init"(t, context) {
    const script = "sleep 1000 & echo $!; exit 2";
    const { container, host } = await context.run("shared", {
      args: ["/bin/sh", "-c", script],
      sharePidNamespace: true,
    });
    t.equal(await container.getInitProcess().wait(), 2);
    const left = Number(await host.stdout.all());
    t.ok(left > 1);
    await container.delete();
    t.notOk(processExists(left));
  },

  async "a container that has ended takes no signal"(t, context) {
    const { container } = await context.run("ended", { args: ["/bin/true"] });
    await container.getInitProcess().wait();
    await t.rejects(container.kill(9), { code: "CONTAINER_NOT_RUNNING" });
    await t.rejects(container.kill(9, { all: true }), { code: "CONTAINER_NOT_RUNNING" });
    await t.rejects(container.pause(), { code: "CONTAINER_NOT_RUNNING" });
    await t.rejects(container.resume(), { code: "CONTAINER_NOT_RUNNING" });
    // Somebody else may delete it.
    execFileSync(context.command, ["--root", context.stateRoot, "delete", "ended"]);
    await t.rejects(container.kill(9), { code: "CONTAINER_DOES_NOT_EXIST" });
    await t.rejects(container.delete(), { code: "CONTAINER_DOES_NOT_EXIST" });
    t.equal(await container.exists(), false);
  },

  async "a running container is deleted by force only, and nothing twice"(t, context) {
    const { container } = await context.run("force", { args: ["/bin/sh", "-c", "sleep 1000 & sleep 1000"] });
    await t.rejects(container.delete(), { code: "CONTAINER_NOT_STOPPED" });
    t.equal((await container.getState()).status, "running");
    await container.delete({ force: true });
    t.equal(await container.getInitProcess().wait(), 137);
    for (const attempt of [container.delete(), container.delete({ force: true }), container.kill(9)])
      await t.rejects(attempt, { code: "CONTAINER_DOES_NOT_EXIST" });
    await t.rejects(container.getState(), { code: "CONTAINER_DOES_NOT_EXIST" });
    await t.rejects(container.update({}), { code: "CONTAINER_DOES_NOT_EXIST" });
  },
};
