/** A container's stdout to the host, and the host's stdin into a container, against a relay that reads and writes. */
import { closeFd, pipe, socketPair } from "../../native/hvsock/index.ts";
import { type Agent, withAgent } from "../agent.ts";
import { run } from "../command.ts";
import { processOf, sleeper, wait } from "../containers.ts";
import { type Measurement, ratioAtLeast, ratioAtMost } from "../measurement.ts";
import { cpuSeconds } from "../process-figures.ts";
import { interleave, median } from "../statistics.ts";
import type { Benchmark, World } from "../world.ts";

const SPEED_GOAL = 1.6;
const CPU_GOAL = 0.25;
const source = "/bench/bytes";

interface Flow {
  /** GB (10^9 bytes) a second, from the first byte to the last. */
  readonly speed: number;
  /** Processor time of what carries the bytes, seconds a GB. */
  readonly cpu: number;
}

export const throughput: Benchmark = (world) =>
  withAgent({}, async (agent) => {
    const id = await sleeper(agent, world.rootfs);
    const bytes = world.quick ? 2 ** 28 : 2 ** 30;
    const rounds = { count: world.quick ? 3 : 7, warmUp: 1 };
    const out = await interleave(rounds, {
      ours: () => containerOutput(world, agent, id, bytes),
      floor: () => copyOutput(world, bytes),
    });
    const into = await interleave(rounds, {
      ours: () => containerInput(world, agent, id, bytes),
      floor: () => copyInput(world, bytes),
    });
    return [...lines("stdout", out), ...lines("stdin", into)];
  });

function lines(stream: string, flows: { ours: Flow[]; floor: Flow[] }): Measurement[] {
  const middle = (samples: Flow[], figure: keyof Flow) => median(samples.map((flow) => flow[figure]));
  const what = "copy relay in C, 32 KiB at a time";
  return [
    {
      name: `throughput.${stream}`,
      title: `${stream} of a container`,
      unit: "GB/s",
      value: middle(flows.ours, "speed"),
      floor: { what, value: middle(flows.floor, "speed") },
      goal: ratioAtLeast(SPEED_GOAL),
    },
    {
      name: `throughput.${stream}.cpu`,
      title: `${stream} of a container, processor time of the agent`,
      unit: "CPU-s/GB",
      value: middle(flows.ours, "cpu"),
      floor: { what, value: middle(flows.floor, "cpu") },
      goal: ratioAtMost(CPU_GOAL),
    },
  ];
}

function flowOf(measured: string, bytes: number, cpu: number): Flow {
  const [arrived, nanoseconds = Number.NaN] = measured.trim().split(" ").map(Number);
  if (arrived !== bytes) throw new Error(`${arrived} of ${bytes} bytes arrived`);
  return { speed: bytes / nanoseconds, cpu: cpu / (bytes / 1e9) };
}

export async function containerOutput(world: World, agent: Agent, id: string, bytes: number): Promise<Flow> {
  const { host, pid } = agent;
  const stream = host.stream();
  const before = cpuSeconds(pid);
  const drained = stream.fd().then(async (fd) => {
    const ended = run(world.programs.bytes, ["sink"], [fd, "pipe", "pipe"]);
    closeFd(fd);
    return (await ended).stdout;
  });
  const { ProcessId } = await host.request("ExecuteProcess", {
    ContainerId: id,
    Settings: {
      ProcessParameters: { CreateStdOutPipe: true, OciProcess: processOf([source, "source", String(bytes)]) },
      VsockStdioRelaySettings: { StdOut: stream.port },
    },
  });
  const measured = await drained;
  await wait(host, id, ProcessId);
  return flowOf(measured, bytes, cpuSeconds(pid) - before);
}

export async function containerInput(world: World, agent: Agent, id: string, bytes: number): Promise<Flow> {
  const { host, pid } = agent;
  const [input, output] = [host.stream(), host.stream()];
  const before = cpuSeconds(pid);
  const fed = input.fd().then(async (fd) => {
    const ended = run(world.programs.bytes, ["source", String(bytes)], ["ignore", fd, "pipe"]);
    closeFd(fd);
    await ended;
  });
  const measured = output.text();
  const { ProcessId } = await host.request("ExecuteProcess", {
    ContainerId: id,
    Settings: {
      ProcessParameters: {
        CreateStdInPipe: true,
        CreateStdOutPipe: true,
        OciProcess: processOf([source, "sink"]),
      },
      VsockStdioRelaySettings: { StdIn: input.port, StdOut: output.port },
    },
  });
  await fed;
  const text = await measured;
  await wait(host, id, ProcessId);
  return flowOf(text, bytes, cpuSeconds(pid) - before);
}

/** source | copy relay -> socket -> sink */
export async function copyOutput(world: World, bytes: number): Promise<Flow> {
  const { readFd, writeFd } = pipe();
  const [near, far] = socketPair();
  const producer = run(world.programs.bytes, ["source", String(bytes)], ["ignore", writeFd, "pipe"]);
  const relay = run(world.programs.copyRelay, ["0", "1"], [readFd, near, "pipe"]);
  const consumer = run(world.programs.bytes, ["sink"], [far, "pipe", "pipe"]);
  for (const fd of [readFd, writeFd, near, far]) closeFd(fd);
  const [, { stderr }, { stdout }] = await Promise.all([producer, relay, consumer]);
  return flowOf(stdout, bytes, Number(stderr) / 1e9);
}

/** source -> socket -> copy relay | sink */
export async function copyInput(world: World, bytes: number): Promise<Flow> {
  const { readFd, writeFd } = pipe();
  const [near, far] = socketPair();
  const producer = run(world.programs.bytes, ["source", String(bytes)], ["ignore", far, "pipe"]);
  const relay = run(world.programs.copyRelay, ["0", "1"], [near, writeFd, "pipe"]);
  const consumer = run(world.programs.bytes, ["sink"], [readFd, "pipe", "pipe"]);
  for (const fd of [readFd, writeFd, near, far]) closeFd(fd);
  const [, { stderr }, { stdout }] = await Promise.all([producer, relay, consumer]);
  return flowOf(stdout, bytes, Number(stderr) / 1e9);
}
