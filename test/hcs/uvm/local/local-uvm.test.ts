import { once } from "node:events";
import { existsSync, readdirSync } from "node:fs";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import tap, { type Test, test } from "tap";
import type { UvmProcessOptions } from "../../../../src/hcs/guest/guest-connection.ts";
import type { GuestContainer } from "../../../../src/hcs/guest/guest-container.ts";
import type { GuestProcess } from "../../../../src/hcs/guest/guest-process.ts";
import { makeDefaultSpec } from "../../../../src/hcs/uvm/default-spec.ts";
import { LocalUvm } from "../../../../src/hcs/uvm/local/local-uvm.ts";

tap.setTimeout(240_000);

const uvm = await LocalUvm.start();
tap.teardown(() => uvm.close());
const root = await uvm.prepareRoot();
let count = 0;

interface Settings {
  readonly script: string;
  readonly terminal?: boolean;
}

async function createContainer(t: Test, { script, terminal = false }: Settings): Promise<GuestContainer> {
  const id = `test-${++count}`;
  const spec = makeDefaultSpec({
    args: ["/bin/sh", "-c", script],
    rootPath: root.path,
    rootReadonly: root.readonly,
    temporaryDirectories: root.temporaryDirectories,
    terminal,
    cgroupNamespace: uvm.hasUnifiedCgroups,
    maximumOpenFiles: uvm.maximumOpenFiles ?? 1024,
  });
  const container = await uvm.guest.createContainer(id, { bundlePath: uvm.bundlePath(id), spec });
  t.teardown(async () => {
    // A test that failed half-way leaves it running.
    await container.terminate().catch(() => undefined);
  });
  await container.start();
  return container;
}

function exec(container: GuestContainer, ...args: string[]): Promise<GuestProcess> {
  const process = { args, cwd: "/", env: ["PATH=/bin"] };
  return container.createProcess({ process, stdin: true, stdout: true, stderr: true });
}

async function outputOf({ stdout, stderr }: GuestProcess): Promise<string[]> {
  return await Promise.all([stdout, stderr].map((stream) => (stream === undefined ? "none" : text(stream))));
}

const FOREVER = "echo ready; while :; do sleep 0.05; done";

/** A container that runs until it is ended, and its init. */
async function running(t: Test, script = FOREVER) {
  const container = await createContainer(t, { script });
  const init = await container.createProcess({ stdout: true });
  await new Promise((resolve) => init.stdout?.once("data", resolve));
  return { container, init };
}

test("init: output, exit code, how it ended, and nothing after the deletion", async (t) => {
  const container = await createContainer(t, { script: "cat; echo oops >&2; exit 3" });
  const init = await container.createProcess({ stdin: true, stdout: true, stderr: true });
  init.stdin?.write("through ");
  init.stdin?.end("stdin");
  t.same(await outputOf(init), ["through stdin", "oops\n"]);
  t.equal(await init.wait(), 3);
  t.equal(await init.wait(1000), 3, "again, with a deadline");
  t.equal(await container.exited, "UnexpectedExit");
  t.equal(await init.signal(15), false);
  await container.deleteState();
  await t.rejects(container.deleteState(), { code: "SYSTEM_NOT_FOUND" });
  await t.rejects(container.statistics(), { code: "SYSTEM_NOT_FOUND" });
  await t.rejects(container.terminate(), { code: "SYSTEM_NOT_FOUND" });
});

test("a short command's output is kept for whoever reads late", async (t) => {
  for (let round = 0; round < 10; round++) {
    const container = await createContainer(t, { script: "echo out; echo err >&2" });
    const init = await container.createProcess({ stdout: true, stderr: true });
    await init.wait();
    await new Promise((resolve) => setTimeout(resolve, 10));
    t.same(await outputOf(init), ["out\n", "err\n"]);
    await container.deleteState();
  }
});

test("execs: streams, a signal, a program that is not there, a wait that times out", async (t) => {
  const { container, init } = await running(t);
  const cat = await exec(container, "/bin/cat");
  cat.stdin?.write("abc");
  await cat.closeStdin();
  t.same(await outputOf(cat), ["abc", ""]);
  t.equal(await cat.wait(), 0);

  const sleep = await exec(container, "/bin/sleep", "1000");
  await t.rejects(sleep.wait(50), { code: "TIMEOUT" });
  await t.rejects(sleep.resize(10, 10), { code: "RUNTIME_FAILED", message: /terminal/ });
  await t.rejects(sleep.wait(undefined, { signal: AbortSignal.timeout(20) }), { code: "ABORTED" });
  t.equal(await sleep.signal(15), true);
  t.equal(await sleep.wait(), 143);
  t.equal(await sleep.signal(15), false);
  await sleep.closeStdin();
  sleep.close();

  await t.rejects(exec(container, "/bin/nonesuch"), {
    code: "COMMAND_NOT_FOUND",
    message: /nonesuch.*no such file/,
  });
  t.same(
    readdirSync(uvm.runtime.root.replace(/\/runtime$/, "")).filter((name) => name.startsWith("port_")),
    [],
    "no listener is left",
  );
  await container.terminate();
  t.equal(await init.wait(), 137);
  t.equal(await container.exited, "ForcedExit");
  await container.deleteState();
});

test("a terminal: one stream for all output, resized while it runs", async (t) => {
  const { container } = await running(t);
  const process = {
    args: ["/bin/sh", "-c", "read x; stty size; echo error >&2"],
    cwd: "/",
    env: ["PATH=/bin"],
  };
  await t.rejects(container.createProcess({ process, terminal: true, stderr: true }), {
    code: "INVALID_ARGUMENT",
  });
  const shell = await container.createProcess({ process, terminal: true, stdin: true, stdout: true });
  await shell.resize(40, 100);
  shell.stdin?.write("x\n");
  t.same(await outputOf(shell), ["x\r\n40 100\r\nerror\r\n", "none"]);
  t.equal(await shell.wait(), 0);
});

test("a graceful shutdown is SIGTERM; properties and constraints while it runs", async (t) => {
  const { container, init } = await running(t, `trap 'exit 11' TERM; ${FOREVER}`);
  t.ok((await container.processList()).pids.includes(init.pid));
  const statistics = await container.statistics();
  t.match(statistics, { memory: { usage: { usage: Number } }, pids: { current: Number } });
  await container.update({ memory: { limit: 64 * 1024 * 1024 } });
  t.match(await container.statistics(), { memory: { usage: { limit: 64 * 1024 * 1024 } } });
  await t.rejects(container.deleteState(), { code: "INVALID_STATE" });
  await container.shutdown();
  t.equal(await init.wait(), 11);
  t.equal(await container.exited, "GracefulExit");
  await container.deleteState();
});

test("an id is taken until it is deleted", async (t) => {
  const { container } = await running(t);
  const again = uvm.guest.createContainer(container.id, { bundlePath: uvm.bundlePath("again"), spec: {} });
  await t.rejects(again, { code: "SYSTEM_ALREADY_EXISTS" });
  const odd = uvm.guest.createContainer("../x", { bundlePath: uvm.bundlePath("x"), spec: {} });
  await t.rejects(odd, { code: /^(INVALID_CONTAINER_ID|INVALID_ARGUMENT)$/ });
});

test("processes outside any container, by arguments and by command line", async (t) => {
  const environment = { A: "b c", PATH: "/bin:/usr/bin" };
  const byArguments = await uvm.guest.createProcess({
    commandArgs: ["/bin/sh", "-c", "pwd; echo $A; exit 4"],
    workingDirectory: "/usr",
    environment,
    stdout: true,
  });
  t.same(await outputOf(byArguments), ["/usr\nb c\n", "none"]);
  t.equal(await byArguments.wait(), 4);
  const byLine = await uvm.guest.createProcess({ commandLine: `/bin/sh -c "echo 'a b'"`, stdout: true });
  t.same(await outputOf(byLine), ["a b\n", "none"]);
  const onTerminal = await uvm.guest.createProcess({
    commandArgs: ["/bin/stty", "size"],
    environment,
    terminal: true,
    consoleSize: { rows: 21, columns: 77 },
    stdin: true,
    stdout: true,
  });
  t.same(await outputOf(onTerminal), ["21 77\r\n", "none"]);
  t.match(await uvm.guest.dumpStacks(), /\w/);
});

test("a terminal outside any container is a person's: jobs, ^C, its size, every byte", async (t) => {
  const create = (script: string, options: Partial<UvmProcessOptions> = {}) =>
    uvm.guest.createProcess({
      commandArgs: ["/bin/sh", "-c", script],
      environment: { PATH: "/bin:/usr/bin" },
      terminal: true,
      stdin: true,
      stdout: true,
      ...options,
    });
  const sized = await create("stty size; read x; stty size; ps -o tty= -p $$ | tr -d '?'");
  const first = once(sized.stdout as Readable, "data");
  await first;
  await sized.resize(50, 132);
  sized.stdin?.write("x\n");
  t.match((await outputOf(sized))[0], /x\r\n50 132\r\npts\/\d+\r\n$/);
  t.equal(await sized.wait(), 0);

  const interrupted = await create(
    "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done",
  );
  await once(interrupted.stdout as Readable, "data");
  interrupted.stdin?.write("\x03");
  t.match((await outputOf(interrupted))[0], /caught\r\n$/);
  t.equal(await interrupted.wait(), 9);

  const named = await create("echo $TERM; stty size", {
    environment: { PATH: "/bin:/usr/bin", TERM: "linux" },
  });
  t.same(await outputOf(named), ["linux\r\n24 80\r\n", "none"]);
  const unnamed = await create("echo $TERM", { workingDirectory: "/" });
  t.same(await outputOf(unnamed), ["xterm\r\n", "none"]);

  const much = await create("stty -onlcr; head -c 20000000 /dev/zero | tr '\\0' y");
  let length = 0;
  for await (const chunk of much.stdout ?? []) length += (chunk as Buffer).length;
  t.equal(length, 20_000_000);
  t.equal(await much.wait(), 0);

  const held = await create("trap '' HUP; sleep 1000 & echo $!");
  const [text] = await outputOf(held);
  t.equal(await held.wait(), 0, "what still has the terminal open holds nobody up");
  process.kill(Number(text), "SIGKILL");

  const ended = await create("sleep 1000");
  await ended.signal(15);
  t.equal(await ended.wait(), 143);
  await t.rejects(create("", { commandArgs: ["/proc/none"] }), {
    code: "COMMAND_NOT_FOUND",
    message: /proc\/none/,
  });
  await t.rejects(create("", { commandArgs: ["/etc/passwd"] }), { code: "COMMAND_NOT_EXECUTABLE" });
  await t.rejects(create("", { workingDirectory: "/etc/passwd" }), { code: "INVALID_WORKING_DIRECTORY" });
});

test("twenty containers at once", async (t) => {
  const codes = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      const container = await createContainer(t, { script: `echo ${index}; exit ${index}` });
      const init = await container.createProcess({ stdout: true, stderr: true });
      const [output] = await outputOf(init);
      const code = await init.wait();
      await container.deleteState();
      return `${output?.trim()} ${code}`;
    }),
  );
  t.same(
    codes,
    Array.from({ length: 20 }, (_, index) => `${index} ${index}`),
  );
});

test("100 MB each way through one process", async (t) => {
  const { container } = await running(t);
  const cat = await exec(container, "/bin/cat");
  const block = Buffer.alloc(1024 * 1024, "x");
  let sent = 0;
  let received = 0;
  cat.stdout?.on("data", (chunk: Buffer) => {
    received += chunk.length;
  });
  const ended = new Promise((resolve) => cat.stdout?.once("end", resolve));
  for (; sent < 100; sent++) {
    if (cat.stdin?.write(block) === false) await new Promise((resolve) => cat.stdin?.once("drain", resolve));
  }
  await cat.closeStdin();
  await ended;
  t.equal(received, 100 * block.length);
  t.equal(await cat.wait(), 0);
});

test("shutdown of the utility VM ends a local agent; everything pending rejects; its directory goes", async (t) => {
  const other = await LocalUvm.start();
  t.teardown(() => other.close());
  const directory = other.runtime.root.replace(/\/runtime$/, "");
  t.ok(existsSync(directory));
  const waiting = await other.guest.createProcess({ commandArgs: ["/bin/sleep", "1000"] });
  // Killed by the agent on its way out; whether its word still comes is open, but nothing else may.
  const wait = waiting.wait().then(
    (code) => t.equal(code, 137),
    (error: unknown) =>
      t.match(error, { code: "TRANSPORT_CLOSED", message: /WaitForProcess for the utility VM/ }),
  );
  other.guest.shutdown();
  await wait;
  t.match(await other.died, { code: "SPAWN_FAILED", message: /ended with status 0/ });
  await other.close();
  t.notOk(existsSync(directory));
});

test("an agent that does not start says why", async (t) => {
  await t.rejects(LocalUvm.start({ logLevel: "deafening" }), {
    code: "SPAWN_FAILED",
    message: /status 2; its log ends with:\ngcs: .*deafening/s,
  });
  await t.rejects(LocalUvm.start({ signal: AbortSignal.timeout(10) }), { code: "ABORTED" });
});
