/** `npm run soak`: see `usage`. */
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { privateMemory } from "../helpers/agent.ts";
import { type Guest, startGuest } from "../helpers/guest.ts";
import { reExecuteInPlainCgroups } from "../helpers/plain-cgroup.ts";
import { describeCensus, driftOf, takeCensus } from "./census.ts";
import { doRound, ROUND } from "./rounds.ts";
import { Work } from "./work.ts";

const usage = `npm run soak [-- OPTIONS]

  --minutes N      how long; default 10
  --rounds N       how many rounds instead: 100 are 1000 lives, 1000 execs, 300 terminals, 300 processes of the VM's,
                   100 modifications and 100 reconnects
  --runtime NAME   runc (default) or crun

The real agent and the real runtime on this machine, as root. A line a minute; at the end what drifted since the first
100 lives, and exit status 1 when something did.
`;

const MIB = 2 ** 20;
const AT_ONCE = 4;
/** A hundred lives: what is made at first use is there after them. */
const WARM_UP_ROUNDS = 10;
const MOST_DRIFT_BYTES = 2 * MIB;
/** What the agent does once it is idle, it has done by then. */
const IDLE_MS = 15_000;
const MINUTE_MS = 60_000;

interface Options {
  readonly milliseconds: number;
  readonly rounds: number;
  readonly runtime: string;
}

/** @throws Error saying what is wrong */
function readOptions(): Options | undefined {
  const { values } = parseArgs({
    options: {
      minutes: { type: "string" },
      rounds: { type: "string" },
      runtime: { type: "string", default: "runc" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) return undefined;
  const number = (name: "minutes" | "rounds", otherwise: number) => {
    const value = values[name] === undefined ? otherwise : Number(values[name]);
    if (value > 0) return value;
    throw new Error(`--${name} takes a number above 0, not "${values[name]}"`);
  };
  const endless = Number.POSITIVE_INFINITY;
  return {
    milliseconds: number("minutes", values.rounds === undefined ? 10 : endless) * MINUTE_MS,
    rounds: number("rounds", endless),
    runtime: values.runtime,
  };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

const inMib = (bytes: number) => `${(bytes / MIB).toFixed(1)} MiB`;

/** What the agent has when nothing happens. */
async function whenIdle({ agent }: Guest) {
  await delay(IDLE_MS);
  return { census: takeCensus(agent), memory: privateMemory(agent.pid) };
}

/** @returns what drifted */
async function soak(guest: Guest, options: Options): Promise<string[]> {
  const { agent } = guest;
  const work = new Work(guest);
  await work.begin();
  const started = performance.now();
  for (let round = 0; round < WARM_UP_ROUNDS; round++) await doRound(work, AT_ONCE);
  const before = await whenIdle(guest);
  say(`after ${WARM_UP_ROUNDS * ROUND.life} lives, idle: ${describeCensus(agent)}`);
  let rounds = WARM_UP_ROUNDS;
  let reported = { at: performance.now(), rounds };
  const tell = () => {
    const now = performance.now();
    const perSecond = (count: number) =>
      (((rounds - reported.rounds) * count * 1000) / (now - reported.at)).toFixed(2);
    const rates = Object.entries(ROUND).map(([kind, count]) => `${kind} ${perSecond(count)}/s`);
    say(`minute ${((now - started) / MINUTE_MS).toFixed(1)}: ${rates.join(", ")}; ${describeCensus(agent)}`);
    reported = { at: now, rounds };
  };
  while (rounds < options.rounds && performance.now() - started < options.milliseconds) {
    await doRound(work, AT_ONCE);
    rounds++;
    if (performance.now() - reported.at >= MINUTE_MS) tell();
  }
  if (rounds > reported.rounds) tell();
  const after = await whenIdle(guest);
  say(`after ${rounds * ROUND.life} lives, idle: ${describeCensus(agent)}`);
  const drift = driftOf(before.census, after.census);
  if (after.memory - before.memory > MOST_DRIFT_BYTES)
    drift.push(`private memory: ${inMib(before.memory)}, then ${inMib(after.memory)}`);
  say(
    `done: ${Object.entries({ ...ROUND, reconnect: 1 })
      .map(([kind, count]) => `${kind} ${rounds * count}`)
      .join(
        ", ",
      )}; private memory ${inMib(after.memory - before.memory)} more than after the first ${WARM_UP_ROUNDS * ROUND.life} lives`,
  );
  return drift;
}

async function main(options: Options): Promise<void> {
  const undo: (() => Promise<void>)[] = [];
  const guest = await startGuest({ teardown: (end: () => Promise<void>) => void undo.push(end) } as never, [
    ...["--loglevel", "info", "--oci-runtime", options.runtime],
  ]);
  try {
    const drift = await soak(guest, options);
    say(drift.length === 0 ? "nothing drifted" : `drifted: ${drift.join("; ")}`);
    if (drift.length > 0) process.exitCode = 1;
  } catch (error) {
    say(guest.agent.log().split("\n").slice(-30).join("\n"));
    throw error;
  } finally {
    for (const end of undo) await end();
  }
}

try {
  const options = readOptions();
  if (options === undefined) say(usage);
  else if (options.runtime !== "crun" || !reExecuteInPlainCgroups()) await main(options);
} catch (error) {
  process.stderr.write(`soak: ${error instanceof Error ? error.stack : error}\n`);
  process.exitCode = 1;
}
