import { readdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { type Member, openFds, processExists, shell } from "./context.ts";

export const exec: Record<string, Member> = {
  async "processes are brought in side by side, each with its own output and code"(t, context) {
    const { container } = await context.run("many", { args: ["/bin/sleep", "1000"] });
    const numbers = Array.from({ length: 10 }, (_, index) => index);
    const results = await Promise.all(
      numbers.map(async (number) => {
        const host = context.host();
        const process = await container.execProcess(shell(`echo out ${number}; exit ${number}`), host.set);
        const code = await process.wait();
        const text = await host.stdout.all();
        await process.delete();
        return { code, text };
      }),
    );
    t.same(
      results,
      numbers.map((number) => ({ code: number, text: `out ${number}\n` })),
    );
  },

  async "a process is signalled, and its end told as 128 and the signal"(t, context) {
    const { container } = await context.run("signal", { args: ["/bin/sleep", "1000"] });
    const process = await container.execProcess(shell("exec sleep 1000"), {});
    t.equal(process.signal(15), true);
    t.equal(await process.wait(), 128 + 15);
    t.equal(await process.exited, 128 + 15);
    t.equal(process.signal(15), false);
    await process.delete();
    await process.delete();
  },

  async "a process has a terminal"(t, context) {
    const { container } = await context.run("exec-tty", { args: ["/bin/sleep", "1000"] });
    const host = context.host();
    // Not every runtime sets the size before the program runs.
    const script =
      'tty; until [ "$(stty size 2>/dev/null)" = "40 132" ]; do sleep 0.01; done; echo sized; read answer; echo got $answer; exit 4';
    const process = await container.execProcess(
      { ...shell(script), terminal: true, consoleSize: { height: 40, width: 132 } },
      host.set,
    );
    await host.stdout.until("sized");
    host.stdin.write("it\n");
    t.equal(await process.wait(), 4);
    t.match(await host.stdout.all(), /\/dev\/pts\/\d+\r\nsized\r\n(it\r\n)?got it\r\n$/);
    t.equal(process.pipeRelay, undefined);
    await process.delete();
  },

  async "a background child that keeps stdout open does not hold up the exit"(t, context) {
    const { container } = await context.run("background", { args: ["/bin/sleep", "1000"] });
    const host = context.host();
    const process = await container.execProcess(shell("sleep 1000 & echo done; exit 6"), host.set);
    t.equal(await process.wait(), 6);
    await host.stdout.until("done\n");
    await process.delete();
  },

  async "a program that is not there fails in the runtime's own words, and leaves nothing"(t, context) {
    const { container } = await context.run("missing", { args: ["/bin/sleep", "1000"] });
    const before = openFds();
    for (const terminal of [false, true]) {
      const host = context.host();
      const process = { ...shell(""), args: ["/bin/nonesuch"], env: ["SECRET=hunter2"], terminal };
      await t.rejects(container.execProcess(process, host.set), {
        code: "COMMAND_NOT_FOUND",
        message: /command "\/bin\/nonesuch" was not found: .*exec failed with exit code \d+: .*nonesuch/,
      });
      await host.stdout.all();
      host.close();
    }
    t.equal(openFds(), before);
    const files = readdirSync(context.filesDirectory, { recursive: true });
    t.equal(files.length, 1, "of the failed starts no file is left");
  },

  async "a terminal that cannot be set up leaves no process"(t, context) {
    const { container } = await context.run("odd-size", { args: ["/bin/sleep", "1000"] });
    const host = context.host();
    const process = {
      ...shell("trap '' HUP; sleep 1000"),
      terminal: true,
      consoleSize: { height: 1, width: 70_000 },
    };
    await t.rejects(container.execProcess(process, host.set));
    host.close();
    while (context.supervisor.pids().length > 1) await delay(5);
    t.same(context.supervisor.pids(), [container.pid]);
  },

  async "a container that does not run takes no process"(t, context) {
    const { container } = await context.run("stopped", { args: ["/bin/true"] });
    await container.getInitProcess().wait();
    const hosts = [context.host(), context.host()];
    await t.rejects(container.execProcess(shell("true"), hosts[0]?.set ?? {}), {
      code: "CONTAINER_NOT_RUNNING",
    });
    await container.delete();
    await t.rejects(container.execProcess(shell("true"), hosts[1]?.set ?? {}), {
      code: "CONTAINER_DOES_NOT_EXIST",
    });
    for (const host of hosts) t.equal(await host.stdout.all(), "", "its connections are closed");
  },

  async "processes brought in end with the container"(t, context) {
    const { container } = await context.run("together", { args: ["/bin/sleep", "1000"] });
    const process = await container.execProcess(shell("trap '' TERM; sleep 1000; sleep 1000"), {});
    await container.kill(9);
    t.equal(await container.getInitProcess().wait(), 137);
    t.equal(await process.wait(), 137);
    t.notOk(processExists(process.pid));
    await container.delete();
  },
};
