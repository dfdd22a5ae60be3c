/** A host that reads late loses nothing: of a container's processes, of those outside, with pipes and with a terminal. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, writeSync } from "node:fs";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import t, { type Test } from "tap";
import { drainStallMs } from "../../src/stdio/drain.ts";
import { shortDirectory } from "../hcs/short-directory.ts";
import { execParameters, executeBody, runSleeper, UVM } from "../helpers/gcs-requests.ts";
import { startGuest } from "../helpers/guest.ts";
import { RawHost, withDeadline } from "../helpers/raw-host.ts";

/** What a pipe of 1 MiB and a socket hold between them, so that the process can exit; a terminal holds less. */
const OF_PIPE = 1_150_000;
const OF_TERMINAL = 150_000;
/** More than a stalled host is waited for before the exit is told. */
const LATE_MS = drainStallMs + 2_500;

const { agent, host } = await startGuest(t);
await host.negotiate();
await runSleeper(host, "c", `${agent.directory}/c/c`);
const fds = agent.fdCount();

let port = 0x40003000;
/** Starts a process with its stdout on a port of its own, of which nothing is read. */
async function start(t: Test, body: (port: number) => unknown): Promise<{ stream: Duplex; pid: unknown }> {
  const StdOut = port++;
  const dialled = Promise.withResolvers<Duplex>();
  await host.listen(StdOut, dialled.resolve);
  const started = await host.request("ExecuteProcess", body(StdOut));
  t.equal(started.Result, 0, `${started.ErrorMessage}`);
  return { stream: await dialled.promise, pid: started.ProcessId };
}

await t.test("what a host reads late", async (t) => {
  const shell = (bytes: number) => ["/bin/sh", "-c", `head -c ${bytes} /dev/zero`];
  const piped = shell(OF_PIPE);
  const terminal = { CommandArgs: shell(OF_TERMINAL), EmulateConsole: true };
  const cases: Record<string, { bytes: number; owner: string; body: (StdOut: number) => unknown }> = {
    exec: {
      bytes: OF_PIPE,
      owner: "c",
      body: (StdOut) => executeBody("c", execParameters(piped, { CreateStdOutPipe: true }), { StdOut }),
    },
    "a process outside containers": {
      bytes: OF_PIPE,
      owner: UVM,
      body: (StdOut) => executeBody(UVM, { CommandArgs: piped, CreateStdOutPipe: true }, { StdOut }),
    },
    "a terminal outside containers": {
      bytes: OF_TERMINAL,
      owner: UVM,
      body: (StdOut) => executeBody(UVM, { ...terminal, CreateStdOutPipe: true }, { StdOut }),
    },
  };
  await Promise.all(
    Object.entries(cases).map(async ([name, { owner, body, bytes: expected }]) => {
      const { stream, pid } = await start(t, body);
      const { ExitCode } = await host.request("WaitForProcess", {
        ContainerId: owner,
        ProcessId: pid,
        TimeoutInMs: 0xffffffff,
      });
      t.equal(ExitCode, 0, `${name}: its exit is told though nobody reads`);
      await delay(LATE_MS);
      let bytes = 0;
      for await (const chunk of stream) bytes += (chunk as Buffer).length;
      t.equal(bytes, expected, `${name}: all of it comes`);
      stream.end();
    }),
  );
  // The exits are told; what they held is freed a moment later.
  for (let waited = 0; agent.fdCount() > fds && waited < 10_000; waited += 50) await delay(50);
  t.equal(agent.fdCount(), fds, "no descriptor is left");
});

await t.test("an agent whose log nobody reads ends all the same, with its exit status", async (t) => {
  const directory = shortDirectory(t);
  execFileSync("mkfifo", [`${directory}/log`]);
  const full = openSync(`${directory}/log`, "r+");
  t.teardown(() => closeSync(full));
  // All that a pipe holds: the agent's first line waits in a write.
  writeSync(full, Buffer.alloc(65_536));
  const child = spawn(
    new URL("../../bin/gcs", import.meta.url).pathname,
    ["--transport", `unix:${directory}/s`],
    {
      stdio: ["ignore", "ignore", full],
    },
  );
  const exited = once(child, "exit");
  const silent = new RawHost(`${directory}/s`);
  t.teardown(() => silent.close());
  await silent.accept();
  child.kill("SIGTERM");
  t.same(await withDeadline(exited, "the agent's end"), [0, null]);
});
