/** A defect in the agent: an error that nobody catches is thrown into it from outside. */
import { once } from "node:events";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { test } from "tap";
import { GuestConnection } from "../../src/hcs/guest/guest-connection.ts";
import { UnixHostTransport } from "../../src/hcs/transport/unix-host-transport.ts";
import { startAgent } from "../helpers/agent.ts";
import { ociSpec } from "../helpers/bundle.ts";

const defects = {
  SIGUSR2: ['throw new Error("a defect of the test")', "an error was thrown and nobody caught it"],
  SIGWINCH: ['Promise.reject(new Error("a defect of the test"))', "a promise was rejected and nobody looked"],
} as const;

for (const [signal, [statement, told]] of Object.entries(defects)) {
  test(`${told}: containers are ended, their host is told, and so is the log`, {
    timeout: 60_000,
  }, async (t) => {
    const preload = `${t.testdir()}/defect.mjs`;
    writeFileSync(preload, `process.on("${signal}", () => { ${statement}; });`);
    const agent = startAgent([], {
      NODE_OPTIONS: `--import=${pathToFileURL(preload)}`,
    });
    const transport = new UnixHostTransport(agent.prefix);
    const guest = await GuestConnection.listen(transport);
    t.teardown(async () => {
      await guest.close();
      await transport.close();
      await agent.stop();
    });
    await guest.accept();
    const spec = ociSpec({ args: ["/bin/sh", "-c", "echo up; exec sleep 1000"] });
    const container = await guest.createContainer("c", { bundlePath: `${agent.directory}/c/c`, spec });
    const init = await container.createProcess({ stdout: true });
    await once(init.stdout ?? agent.child, "data");
    const waiting = init.wait();
    const ended = once(agent.child, "exit");
    agent.child.kill(signal as NodeJS.Signals);
    t.equal(await waiting, 128 + 9, "who waits for a process is answered");
    t.equal(await container.exited, "UnexpectedExit", "the end of the container is told");
    t.same(await ended, [1, null], "the agent's exit status");
    t.equal((await guest.ended).code, "TRANSPORT_CLOSED");
    const lines = agent
      .log()
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const fatal = lines.find(({ level }) => level === "fatal");
    t.match(fatal, {
      msg: new RegExp(`^${told}`),
      err: { message: "a defect of the test", stack: /defect\.mjs/ },
    });
    t.match(
      lines.filter(({ level }) => level === "error" || level === "fatal").length,
      1,
      "nothing else went wrong",
    );
    t.same(readdirSync(`${agent.directory}/state`), [], "no container is left");
    t.notOk(existsSync(`${agent.directory}/private`), "nor any file");
  });
}
