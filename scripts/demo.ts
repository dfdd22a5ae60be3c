/**
 * `npm run demo [-- --local]`: one container's life in a virtual machine, driven through the host side and a real
 * agent, step by step. The image is built first where it is missing or old. Ends with status 1 on any surprise.
 */
import { randomBytes } from "node:crypto";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { buildImage } from "../src/cli/image.ts";
import { describeError } from "../src/common/errors.ts";
import { makeDefaultSpec } from "../src/hcs/uvm/default-spec.ts";
import { LocalUvm } from "../src/hcs/uvm/local/local-uvm.ts";
import { builtImage } from "../src/hcs/uvm/qemu/built-image.ts";
import { type BootStage, QemuUvm } from "../src/hcs/uvm/qemu/qemu-uvm.ts";
import type { UtilityVm } from "../src/hcs/uvm/utility-vm.ts";

/** For the whole demo; a step that hangs is a surprise, too. */
const DEADLINE_MS = 120_000;
const ENVIRONMENT = ["PATH=/bin", "TERM=xterm"];
const PROGRAM = `
trap 'echo "asked to stop, stopping"; exit 42' TERM
for number in 1 2 3; do echo "line $number of the container's output"; sleep 0.2; done
while :; do sleep 0.1; done
`;

let last = performance.now();

/** One line: milliseconds since the last one, what was done, what came of it. */
function show(step: string, result = ""): void {
  const now = performance.now();
  const milliseconds = `${(now - last).toFixed(0)} ms`;
  last = now;
  console.log(`${milliseconds.padStart(8)}  ${step.padEnd(42)}${result}`);
}

function expect(what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Error(`${what}: expected ${expected}, got ${actual}`);
}

/** Shows a stream line by line as it comes. @returns settles at the end of the third line, and at the end. */
function showOutput(stream: Readable) {
  const { promise: threeLines, resolve } = Promise.withResolvers<void>();
  const lines: string[] = [];
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    for (const line of parts) {
      show("  output:", line);
      if (lines.push(line) === 3) resolve();
    }
  });
  const ended = new Promise<string[]>((done, fail) =>
    stream.once("end", () => done(lines)).once("error", fail),
  );
  return { threeLines, ended };
}

/** In a virtual machine, or with --local on this machine alone. */
async function start(local: boolean, signal: AbortSignal): Promise<UtilityVm> {
  if (local) return await LocalUvm.start({ signal });
  const { kernel, initrd } = builtImage();
  const stages: Readonly<Record<BootStage, string>> = {
    kernel: "start QEMU",
    init: "boot: the kernel, then the guest's init",
    agent: "boot: init starts the agent",
    negotiated: "boot: the agent dials and negotiates",
  };
  return await QemuUvm.start({ kernel, initrd, signal, onStage: (stage) => show(stages[stage]) });
}

async function demo(local: boolean, signal: AbortSignal): Promise<void> {
  const began = performance.now();
  const uvm = await start(local, signal);
  try {
    const { guest } = uvm;
    show(
      "what the agent can do",
      `schema versions ${JSON.stringify(guest.capabilities.SupportedSchemaVersions)}`,
    );

    const name = randomBytes(4).toString("hex");
    const id = `demo-${name}`;
    const root = await uvm.prepareRoot();
    show("make the root file system ready", root.path);
    const spec = makeDefaultSpec({
      args: ["/bin/sh", "-c", PROGRAM],
      rootPath: root.path,
      rootReadonly: root.readonly,
      temporaryDirectories: root.temporaryDirectories,
      hostname: name,
      memoryLimit: 64 * 1024 * 1024,
      cgroupNamespace: uvm.hasUnifiedCgroups,
      ...(uvm.maximumOpenFiles !== undefined && { maximumOpenFiles: uvm.maximumOpenFiles }),
    });
    const container = await guest.createContainer(id, { bundlePath: uvm.bundlePath(id), spec, signal });
    show("create a container", id);
    await container.start({ signal });
    const init = await container.createProcess({ stdout: true, signal });
    show("start its init process", `process ${init.pid}`);
    if (init.stdout === undefined) throw new Error("init has no stdout");
    const output = showOutput(init.stdout);
    await output.threeLines;

    const exec = await container.createProcess({
      process: { args: ["/bin/cat", "/etc/hostname"], cwd: "/", env: ENVIRONMENT },
      stdout: true,
      signal,
    });
    const hostname = exec.stdout === undefined ? "" : (await text(exec.stdout)).trim();
    expect("exit code of the exec", await exec.wait(undefined, { signal }), 0);
    expect("host name in the container", hostname, name);
    show("exec: cat /etc/hostname", hostname);

    const shell = await container.createProcess({
      process: {
        args: ["/bin/sh", "-c", "read line; stty size; test -t 1 && exit 5"],
        cwd: "/",
        env: ENVIRONMENT,
      },
      terminal: true,
      stdin: true,
      stdout: true,
      signal,
    });
    await shell.resize(40, 132, { signal });
    shell.stdin?.write("go\n");
    const screen = shell.stdout === undefined ? "" : await text(shell.stdout);
    expect("exit code of the exec with a terminal", await shell.wait(undefined, { signal }), 5);
    expect("what the terminal shows", screen, "go\r\n40 132\r\n");
    show("exec with a terminal: stty size", JSON.stringify(screen));

    const { pids } = await container.processList({ signal });
    if (!pids.includes(init.pid)) throw new Error(`init ${init.pid} is not in the process list ${pids}`);
    show("process list", pids.join(" "));
    const statistics = await container.statistics({ signal });
    show("statistics", summarize(statistics));

    await container.shutdown({ signal });
    const code = await init.wait(undefined, { signal });
    const lines = await output.ended;
    expect("last line of the output", lines.at(-1), "asked to stop, stopping");
    expect("exit code", code, 42);
    const type = await container.exited;
    expect("kind of exit", type, "GracefulExit");
    show("graceful shutdown", `exit code ${code}, ${type}`);
    await container.deleteState({ signal });
    show("delete the container's state");
  } finally {
    await uvm.close();
  }
  show(
    local ? "end the agent" : "power off",
    `everything cleaned up; ${((performance.now() - began) / 1000).toFixed(2)} s in all`,
  );
}

/** The counters that every cgroup version has. */
function summarize(statistics: Record<string, unknown>): string {
  const at = (...path: string[]): unknown =>
    path.reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], statistics);
  const memory = Number(at("memory", "usage", "usage"));
  const cpu = Number(at("cpu", "usage", "total"));
  const pids = Number(at("pids", "current"));
  for (const [what, value] of Object.entries({ memory, cpu, pids })) {
    if (!(value > 0)) throw new Error(`statistics: ${what} is ${value}`);
  }
  return `${(memory / 1024).toFixed(0)} KiB memory, ${(cpu / 1e6).toFixed(0)} ms CPU, ${pids} processes`;
}

try {
  const local = process.argv.includes("--local");
  if (!local && (await buildImage()) !== 0) throw new Error("the image could not be built");
  last = performance.now();
  await demo(local, AbortSignal.timeout(DEADLINE_MS));
} catch (error) {
  console.error(`demo: ${describeError(error)}`);
  process.exitCode = 1;
}
process.exit();
