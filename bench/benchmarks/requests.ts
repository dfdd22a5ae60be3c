/** Request and reply: Start of a running container, which the agent acknowledges without doing anything. */
import { type Agent, withAgent } from "../agent.ts";
import { sleeper } from "../containers.ts";
import { withEcho } from "../echo.ts";
import { type LoadResult, load } from "../load.ts";
import { atLeast, atMost, type Measurement, ratioAtMost } from "../measurement.ts";
import { interleave, median } from "../statistics.ts";
import type { Benchmark, World } from "../world.ts";

const SERIAL_GOAL = 2.5;
/** What a request may cost that is logged at info, of one that is not. */
const LOG_GOAL = 1.1;
const CONCURRENT_GOAL = 30_000;
/** Reading a cgroup or a process list, from send to reply. */
const READ_GOAL_MS = 0.4;
const IN_FLIGHT = 64;

type Side = () => Promise<LoadResult>;

/** As the agent sees a request, so that the echo has the same length; the load program wants a Result in replies. */
const echoBody = (id: string) => JSON.stringify({ ContainerId: id, Result: 0 });

export const requests: Benchmark = (world) =>
  withServers(world, async ({ agent, silent, debugging, id, silentId, debuggingId, echo, plainEcho }) => {
    const ask = (to: Agent, container: string, inFlight: number): Side => {
      const body = JSON.stringify({ ContainerId: container });
      const count = requestCount(world, inFlight);
      return () =>
        to.host.lend((fd) => load(world.programs.load, fd, { name: "Start", body, count, inFlight }));
    };
    const askEcho = (fd: number, inFlight: number): Side => {
      const count = requestCount(world, inFlight);
      return () => load(world.programs.load, fd, { name: "Start", body: echoBody(id), count, inFlight });
    };
    const rounds = { count: world.quick ? 3 : 9, warmUp: 2 };
    const serial = await interleave(rounds, {
      ours: ask(agent, id, 1),
      node: askEcho(echo, 1),
      c: askEcho(plainEcho, 1),
      silent: ask(silent, silentId, 1),
      debug: ask(debugging, debuggingId, 1),
    });
    const concurrent = await interleave(rounds, {
      ours: ask(agent, id, IN_FLIGHT),
      node: askEcho(echo, IN_FLIGHT),
    });
    const latency = (results: LoadResult[]) => median(results.map(({ microseconds }) => microseconds));
    const rate = (results: LoadResult[]) => median(results.map(({ perSecond }) => perSecond));
    const ours = latency(serial.ours);
    return [
      {
        name: "requests.serial",
        title: "request and reply, one at a time",
        unit: "us",
        value: ours,
        floor: { what: "echo server in Node (node:net)", value: latency(serial.node) },
        goal: ratioAtMost(SERIAL_GOAL),
      },
      {
        name: "requests.serial.c",
        title: "request and reply, one at a time",
        unit: "us",
        value: ours,
        floor: { what: "echo server in C", value: latency(serial.c) },
      },
      {
        name: "requests.serial.info",
        title: "the same, what the log costs at info",
        unit: "us",
        value: ours,
        floor: { what: "the agent at fatal, which logs nothing", value: latency(serial.silent) },
        goal: ratioAtMost(LOG_GOAL),
      },
      {
        name: "requests.serial.debug",
        title: "the same, every request logged (debug)",
        unit: "us",
        value: latency(serial.debug),
        floor: { what: "the agent at info", value: ours },
      },
      {
        name: "requests.concurrent",
        title: `requests answered, ${IN_FLIGHT} in flight`,
        unit: "per s",
        value: rate(concurrent.ours),
        floor: { what: "echo server in Node (node:net)", value: rate(concurrent.node) },
        goal: atLeast(CONCURRENT_GOAL),
      },
      {
        name: "requests.concurrency-gain",
        title: `requests answered, ${IN_FLIGHT} in flight`,
        unit: "per s",
        value: rate(concurrent.ours),
        floor: { what: "the agent, one at a time", value: rate(serial.ours) },
        goal: { on: "ratio", limit: 1.5, direction: "at least" },
      },
    ];
  });

/** Process list and statistics of a container. */
export const properties: Benchmark = (world) =>
  withServers(world, async ({ agent, id, echo }) => {
    const ask = (type: string): Side => {
      const body = JSON.stringify({ ContainerId: id, Query: JSON.stringify({ PropertyTypes: [type] }) });
      const count = world.quick ? 500 : 2000;
      return () =>
        agent.host.lend((fd) =>
          load(world.programs.load, fd, { name: "GetProperties", body, count, inFlight: 1 }),
        );
    };
    const samples = await interleave(
      { count: world.quick ? 3 : 7, warmUp: 1 },
      {
        list: ask("ProcessList"),
        statistics: ask("Statistics"),
        echo: () =>
          load(world.programs.load, echo, {
            name: "Start",
            body: echoBody(id),
            count: requestCount(world, 1),
            inFlight: 1,
          }),
      },
    );
    const milliseconds = (results: LoadResult[]) =>
      median(results.map(({ microseconds }) => microseconds)) / 1000;
    const line = (name: string, title: string, results: LoadResult[]): Measurement => ({
      name,
      title,
      unit: "ms",
      value: milliseconds(results),
      floor: { what: "echo server in Node (node:net)", value: milliseconds(samples.echo) },
      goal: atMost(READ_GOAL_MS),
    });
    return [
      line("properties.processes", "process list of a container", samples.list),
      line("properties.statistics", "statistics of a container", samples.statistics),
    ];
  });

interface Servers {
  readonly agent: Agent;
  /** One that logs nothing. */
  readonly silent: Agent;
  /** One that logs each request. */
  readonly debugging: Agent;
  /** Running containers, one in each. */
  readonly id: string;
  readonly silentId: string;
  readonly debuggingId: string;
  /** Connections to echo servers. */
  readonly echo: number;
  readonly plainEcho: number;
}

function withServers<Value>(world: World, work: (servers: Servers) => Promise<Value>): Promise<Value> {
  const { directory, programs } = world;
  const nodeEcho = [process.execPath, `${import.meta.dirname}/../echo-server.ts`] as const;
  return withAgent({}, (agent) =>
    withAgent({ logLevel: "fatal" }, (silent) =>
      withAgent({ logLevel: "debug" }, (debugging) =>
        withEcho(nodeEcho, `${directory}/echo-node`, (echo) =>
          withEcho([programs.echo], `${directory}/echo-c`, async (plainEcho) => {
            const id = await sleeper(agent, world.rootfs);
            const silentId = await sleeper(silent, world.rootfs);
            const debuggingId = await sleeper(debugging, world.rootfs);
            return work({ agent, silent, debugging, id, silentId, debuggingId, echo, plainEcho });
          }),
        ),
      ),
    ),
  );
}

function requestCount(world: World, inFlight: number): number {
  const count = world.quick ? 2000 : 10_000;
  return inFlight === 1 ? count : count * 4;
}
