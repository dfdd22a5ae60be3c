/**
 * A host that reads late loses nothing, and one that writes more than is read is held up until the process ends: of a
 * container's processes, of those outside, with pipes and with a terminal.
 */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, writeSync } from "node:fs";
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import t, { type Test } from "tap";
import { drainStallMs } from "../../src/stdio/drain.ts";
import { shortDirectory } from "../hcs/short-directory.ts";
import { createBody, execParameters, executeBody, runSleeper, UVM } from "../helpers/gcs-requests.ts";
import { startGuest } from "../helpers/guest.ts";
import { RawHost, withDeadline } from "../helpers/raw-host.ts";

/** What a pipe of 1 MiB and a socket hold between them, so that the process can exit; a terminal holds less. */
const OF_PIPE = 1_150_000;
const OF_TERMINAL = 150_000;
/** What a host has to say, and far more than a pipe and two sockets hold of it. */
const MOST_TYPED = 32 * 1024 * 1024;
const MOST_HELD = 8 * 1024 * 1024;
/** More than a stalled host is waited for before the exit is told. */
const LATE_MS = drainStallMs + 2_500;

const { agent, host } = await startGuest(t);
await host.negotiate();
await runSleeper(host, "c", `${agent.directory}/c/c`);
const fds = agent.fdCount();

let port = 0x40003000;
/** Starts a process with one stream on a port of its own, of which nothing is read. */
async function start(t: Test, body: (port: number) => unknown): Promise<{ stream: Duplex; pid: unknown }> {
  const streamPort = port++;
  const dialled = Promise.withResolvers<Duplex>();
  await host.listen(streamPort, dialled.resolve);
  const started = await host.request("ExecuteProcess", body(streamPort));
  t.equal(started.Result, 0, `${started.ErrorMessage}`);
  return { stream: await dialled.promise, pid: started.ProcessId };
}

const endOf = (owner: string, pid: unknown) =>
  host.request("WaitForProcess", { ContainerId: owner, ProcessId: pid, TimeoutInMs: 0xffffffff });

/** The exits are told; what they held is freed a moment later. */
async function untilFreed(t: Test): Promise<void> {
  for (let waited = 0; agent.fdCount() > fds && waited < 10_000; waited += 50) await delay(50);
  t.equal(agent.fdCount(), fds, "no descriptor is left");
}

await t.test("what a host reads late", async (t) => {
  const shell = (bytes: number) => ["/bin/sh", "-c", `head -c ${bytes} /dev/zero`];
  const piped = shell(OF_PIPE);
  const terminal = { CommandArgs: shell(OF_TERMINAL), EmulateConsole: true };
  const options = { args: shell(OF_PIPE) };
  const created = await host.request("Create", createBody("gone", `${agent.directory}/c/gone`, options));
  t.equal(created.Result, 0, `${created.ErrorMessage}`);
  const cases: Record<
    string,
    { bytes: number; owner: string; body: (StdOut: number) => unknown; deletes?: string }
  > = {
    "init of a container that is deleted meanwhile": {
      bytes: OF_PIPE,
      owner: "gone",
      body: (StdOut) => executeBody("gone", { CreateStdOutPipe: true }, { StdOut }),
      deletes: "gone",
    },
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
    Object.entries(cases).map(async ([name, { owner, body, bytes: expected, deletes }]) => {
      const { stream, pid } = await start(t, body);
      const { ExitCode } = await endOf(owner, pid);
      t.equal(ExitCode, 0, `${name}: its exit is told though nobody reads`);
      if (deletes !== undefined)
        t.match(await host.request("DeleteContainerState", { ContainerId: deletes }), { Result: 0 });
      await delay(LATE_MS);
      let bytes = 0;
      for await (const chunk of stream) bytes += (chunk as Buffer).length;
      t.equal(bytes, expected, `${name}: all of it comes`);
      stream.end();
    }),
  );
  await untilFreed(t);
});

await t.test("a standard input of which nothing is read", async (t) => {
  const sleeper = ["/bin/sleep", "1000"];
  const raw = ["/bin/sh", "-c", "stty raw -echo; exec sleep 1000"];
  const inherited = ["/bin/sh", "-c", "sleep 1000 <&0 & exec sleep 1000"];
  const CreateStdInPipe = true;
  const inside = (args: string[], terminal = false) => {
    const OciProcess = { args, terminal, cwd: "/", env: ["PATH=/bin"], user: { uid: 0, gid: 0 } };
    return (StdIn: number) =>
      executeBody("c", { OciProcess, EmulateConsole: terminal, CreateStdInPipe }, { StdIn });
  };
  const outside = (CommandArgs: string[], EmulateConsole = false) => {
    return (StdIn: number) => executeBody(UVM, { CommandArgs, EmulateConsole, CreateStdInPipe }, { StdIn });
  };
  const cases: Record<string, { owner: string; body: (StdIn: number) => unknown }> = {
    exec: { owner: "c", body: inside(sleeper) },
    "an exec whose child has it, too": { owner: "c", body: inside(inherited) },
    "an exec's terminal": { owner: "c", body: inside(sleeper, true) },
    "a process outside containers": { owner: UVM, body: outside(sleeper) },
    "a terminal outside containers": { owner: UVM, body: outside(sleeper, true) },
    "a terminal outside containers without a line discipline": { owner: UVM, body: outside(raw, true) },
  };
  await Promise.all(
    Object.entries(cases).map(async ([name, { owner, body }]) => {
      const { stream, pid } = await start(t, body);
      const ended = new Promise((resolve) => stream.once("close", resolve));
      const block = Buffer.alloc(65_536, `${"x".repeat(100)}\n`);
      let taken = 0;
      for (let left = MOST_TYPED; left > 0; left -= block.length) {
        stream.write(block, (error) => {
          if (!error) taken += block.length;
        });
      }
      // Being held up is no event.
      await delay(1000);
      t.ok(taken < MOST_HELD, `${name}: the host is held up after ${taken} bytes`);
      const kill = { ContainerId: owner, ProcessId: pid, Options: { Signal: 9 } };
      t.equal((await host.request("SignalProcess", kill)).Result, 0);
      t.equal((await endOf(owner, pid)).ExitCode, 137);
      await withDeadline(ended, `${name}: the end of the host's write`);
    }),
  );
  await untilFreed(t);
});

await t.test("an agent whose log nobody reads ends all the same, with its exit status", async (t) => {
  const directory = shortDirectory(t);
  execFileSync("mkfifo", [`${directory}/log`]);
  const full = openSync(`${directory}/log`, "r+");
  t.teardown(() => closeSync(full));
  // All that a pipe holds: the agent's first line waits in a write.
  writeSync(full, Buffer.alloc(65_536));
  const run = (...flags: string[]) =>
    spawn(new URL("../../bin/gcs", import.meta.url).pathname, flags, { stdio: ["ignore", "ignore", full] });
  const refused = once(run("--nonsense"), "exit");
  t.same(await withDeadline(refused, "the end of one with a wrong flag"), [2, null]);
  const child = run("--transport", `unix:${directory}/s`);
  const exited = once(child, "exit");
  const silent = new RawHost(`${directory}/s`);
  t.teardown(() => silent.close());
  await silent.accept();
  child.kill("SIGTERM");
  t.same(await withDeadline(exited, "the agent's end"), [0, null]);
});
