import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, watch } from "node:fs";
import fc from "fast-check";
import { silentLogger } from "../../../src/common/log.ts";
import { Bridge } from "../../../src/gcs/bridge/bridge.ts";
import { Uvm } from "../../../src/gcs/uvm/uvm.ts";
import { Supervisor } from "../../../src/linux/supervisor.ts";
import { UVM_CONTAINER_ID } from "../../../src/protocol/container-id.ts";
import { MESSAGE_NAMES, type MessageName, requestTypeOf } from "../../../src/protocol/messages.ts";
import { pathsOf, toWire, withField } from "../../protocol/mutations.ts";
import { FakeHost, FakeTransport } from "../fakes/host.ts";
import { FakeRuntime, Fate, OUTCOMES } from "../fakes/runtime.ts";
import {
  editFields,
  editText,
  type FieldEdit,
  fieldEdits,
  type TextEdit,
  textEdits,
} from "../generators/edits.ts";
import { hold, property } from "../target.ts";
import { sample } from "./messages.ts";

interface RequestStep {
  readonly do: "request";
  readonly name: MessageName;
  /** An index: the utility VM, or one of a few containers. */
  readonly container: number;
  /** An index into the pids that the agent has named. */
  readonly process: number;
  readonly fields: readonly FieldEdit[];
  readonly text: readonly TextEdit[];
  /** Bytes of the frame after which the connection breaks. */
  readonly cutAfter?: number;
}

type Step =
  | RequestStep
  | { readonly do: "unknown"; readonly type: number }
  | { readonly do: "exit"; readonly process: number; readonly code: number }
  | { readonly do: "reconnect"; readonly isAnother: boolean }
  | { readonly do: "stall"; readonly isStalled: boolean }
  | { readonly do: "turns"; readonly count: number };

interface Input {
  readonly negotiates: boolean;
  /** Containers that are made and started first, so that most of what follows has something to work on. */
  readonly born: number;
  readonly steps: readonly Step[];
  readonly outcomes: readonly number[];
}

const LIFE: readonly MessageName[] = [
  "Create",
  "Create",
  "ExecuteProcess",
  "ExecuteProcess",
  "WaitForProcess",
];
const CONTAINERS = [UVM_CONTAINER_ID, "abc-1", "abc-2"];

const request = fc.record(
  {
    do: fc.constant("request" as const),
    name: fc.constantFrom(...MESSAGE_NAMES, ...LIFE),
    container: fc.nat(CONTAINERS.length * 2),
    process: fc.nat(20),
    fields: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, { weight: 2, arbitrary: fieldEdits }),
    text: textEdits,
    cutAfter: fc.nat(400),
  },
  { requiredKeys: ["do", "name", "container", "process", "fields", "text"] },
);
/** Most requests come whole. */
const whole = request.map(({ cutAfter: _, ...step }) => step);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 16, arbitrary: whole },
  { weight: 1, arbitrary: request },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("unknown" as const), type: fc.nat(0xffff_ffff) }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("exit" as const), process: fc.nat(20), code: fc.nat(255) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reconnect" as const), isAnother: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("stall" as const), isStalled: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("turns" as const), count: fc.nat(12) }) },
);

const inputs: fc.Arbitrary<Input> = fc.record({
  negotiates: fc.oneof(
    { weight: 9, arbitrary: fc.constant(true) },
    { weight: 1, arbitrary: fc.constant(false) },
  ),
  born: fc.nat(2),
  steps: fc.array(step, { minLength: 1, maxLength: 30, size: "max" }),
  outcomes: fc.array(
    fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(OUTCOMES * 3) }),
    { maxLength: 20 },
  ),
});

/** How much faster a deadline passes here, so that seconds of waiting are none of the fuzzer's. */
const HASTE = 200;
/** Milliseconds of this machine's own, for what has to settle by itself in the end; the longest deadline is below. */
const PATIENCE_MS = 8000;

const realTimeout = globalThis.setTimeout;

function hasten(): void {
  const hasty = (work: (...values: unknown[]) => void, ms = 0, ...values: unknown[]) =>
    realTimeout(work, ms / HASTE, ...values);
  globalThis.setTimeout = Object.assign(hasty, realTimeout) as typeof setTimeout;
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

async function settle(isSettled: () => boolean, what: () => string): Promise<void> {
  const limit = performance.now() + PATIENCE_MS;
  while (!isSettled()) {
    hold(performance.now() < limit, what);
    await turn();
    if (!isSettled()) await new Promise((resolve) => realTimeout(resolve, 1));
  }
}

/** Every field of that name becomes the value. */
function withNamed(value: unknown, name: string, replacement: unknown): unknown {
  return pathsOf(value)
    .filter((path) => path.at(-1) === name)
    .reduce((changed, path) => withField(changed, path, replacement), value);
}

function bodyOf(step: RequestStep, host: FakeHost): string {
  const original = sample("request", step.name) as object;
  const known = host.pids[step.process % Math.max(1, host.pids.length)];
  // Where a process is named, most often by the container that has it.
  const isOwners = "ProcessId" in original && known !== undefined && step.container < CONTAINERS.length;
  const id = isOwners ? known.containerId : (CONTAINERS[step.container % CONTAINERS.length] ?? "");
  let body = withNamed(original, "ContainerId", id);
  if (known !== undefined) body = withNamed(body, "ProcessId", known.pid);
  if (step.name === "Create") {
    body = withNamed(body, "OciBundlePath", `/run/gcs/c/${id}`);
    body = withField(body, ["ContainerConfig", "OciSpecification", "root"], { path: "/" });
  }
  // Every other execution is of another process.
  if (step.name === "ExecuteProcess") {
    const process = step.process % 2 === 0 ? undefined : { args: ["/bin/true"], cwd: "/", terminal: false };
    body = withField(body, ["Settings", "ProcessParameters", "OciProcess"], process);
    const program = step.process % 4 < 2 ? ["/bin/true"] : ["/bin/sleep", "60"];
    if (id === UVM_CONTAINER_ID)
      body = withField(body, ["Settings", "ProcessParameters", "CommandArgs"], program);
  }
  return editText(toWire(editFields(body, step.fields)), step.text);
}

async function negotiate(host: FakeHost): Promise<void> {
  host.ask(requestTypeOf("NegotiateProtocol"), toWire(sample("request", "NegotiateProtocol")), {
    mayBeSilent: false,
  });
  await turn();
}

async function run(step: Step, host: FakeHost, runtime: FakeRuntime): Promise<void> {
  switch (step.do) {
    case "request": {
      const mayBeSilent = step.name === "ShutdownGraceful" || step.name === "ShutdownForced";
      host.ask(requestTypeOf(step.name), bodyOf(step, host), { mayBeSilent, cutAfter: step.cutAfter });
      break;
    }
    case "unknown":
      host.ask(step.type, "{}", { mayBeSilent: false });
      break;
    case "exit": {
      const process = runtime.processes[step.process % Math.max(1, runtime.processes.length)];
      if (process?.hasExited === false) process.exit(step.code);
      break;
    }
    case "reconnect":
      await reconnect(host, step.isAnother);
      break;
    case "stall":
      host.stall(step.isStalled);
      break;
    case "turns":
      for (let at = 0; at < step.count; at++) await turn();
  }
}

async function reconnect(host: FakeHost, isAnother: boolean): Promise<void> {
  await host.disconnect();
  if (isAnother) host.becomeAnother();
  else host.forgive();
  await host.connect();
  await negotiate(host);
}

let supervisor: Supervisor | undefined;

/** Opens what is opened once and stays: the relays' engine, the kernel's notes. */
const WARMING: Input = {
  negotiates: true,
  born: 1,
  steps: (["ExecuteProcess", "Create", "ModifySettings"] as const).map((name) => ({
    do: "request",
    name,
    container: name === "Create" ? 1 : 0,
    process: 0,
    fields: [],
    text: [],
  })),
  outcomes: [],
};

/** What each open descriptor is, but for the one that looks. */
const descriptors = () =>
  readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [`${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`];
    } catch {
      return [];
    }
  });
const mounts = () => readFileSync("/proc/self/mountinfo", "utf8").split("\n").length;
/** Not directories: those that two containers share are the first one's, and stay when that is gone before the other. */
const files = () =>
  readdirSync("/run", { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => `${entry.parentPath}/${entry.name}`)
    .join(" ");

export const handlers = property<Input>({
  inputs,
  async check(input) {
    if (supervisor === undefined) {
      hasten();
      supervisor = new Supervisor();
      // Node keeps what it once needed to watch a directory.
      watch("/dev").close();
      await live(WARMING, supervisor);
    }
    // What one input left is not the next one's fault.
    for (const name of readdirSync("/run")) rmSync(`/run/${name}`, { recursive: true });
    // Where the recording has layers.
    for (const name of ["layers/0", "gcs/c/abc/scratch"]) mkdirSync(`/run/${name}`, { recursive: true });
    const before = { descriptors: descriptors(), mounts: mounts() };
    await live(input, supervisor);
    await settle(
      () => descriptors().length <= before.descriptors.length,
      () => `descriptors are left: ${descriptors().join(", ")} after ${before.descriptors.join(", ")}`,
    );
    hold(
      mounts() === before.mounts,
      () => `mounts are left: ${readFileSync("/proc/self/mountinfo", "utf8")}`,
    );
    hold(files() === "", () => `files are left: ${files()}`);
  },
});

async function live(input: Input, supervisor: Supervisor): Promise<void> {
  const fate = new Fate(input.outcomes);
  const runtime = new FakeRuntime(fate);
  const transport = new FakeTransport(fate);
  const uvm = new Uvm({
    runtime,
    transport,
    supervisor,
    log: silentLogger,
    cgroupParent: "/pods",
    memoryReserveBytes: 0,
    allowHostSockets: false,
    privateDirectory: undefined,
  });
  const bridge = new Bridge({ uvm, log: silentLogger, scrubLogs: true, onShutdown() {} });
  const host = new FakeHost(bridge);
  await host.connect();
  if (input.negotiates) await negotiate(host);
  for (let container = 1; container <= input.born; container++) {
    for (const name of ["Create", "ExecuteProcess"] as const) {
      await run({ do: "request", name, container, process: 0, fields: [], text: [] }, host, runtime);
      for (let turns = 0; turns < 8; turns++) await turn();
    }
  }
  for (const step of input.steps) {
    await run(step, host, runtime);
    if (!host.isConnected) await reconnect(host, false);
    host.check();
  }
  host.stall(false);
  fate.isKind = true;
  const closing = uvm.close();
  await settle(
    () => {
      for (const process of runtime.processes) if (!process.hasExited) process.exit(0);
      return host.owed.length === 0;
    },
    () => `no answer to ${host.owed.join(", ")}`,
  );
  let isClosed = false;
  void closing.then(() => {
    isClosed = true;
  });
  await settle(
    () => isClosed,
    () => "the utility VM's state did not close",
  );
  // Who is still being started may not live on, either.
  for (let turns = 0; turns < 50; turns++) await turn();
  await settle(
    () => [...uvm.processes.running].length === 0,
    () => "a process of the utility VM has outlived its agent",
  );
  await turn();
  host.check();
  await host.disconnect();
  transport.close();
  checkNotifications(host, runtime);
}

/** Whatever the number of hosts, no more of them than there were containers. */
function checkNotifications(host: FakeHost, runtime: FakeRuntime): void {
  hold(
    host.notifications.length <= runtime.processes.length,
    () => `${host.notifications.length} notifications of ${runtime.processes.length} processes`,
  );
}
