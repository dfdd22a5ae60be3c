/** The soak, short: after many processes and containers everything is as it was. `npm run soak` is the long one. */
import { existsSync } from "node:fs";
import t from "tap";
import { privateMemory } from "../helpers/agent.ts";
import { startGuest } from "../helpers/guest.ts";
import { cgroupsOf, childrenOf, lastingDrift, mountsOf, takeCensus } from "../soak/census.ts";
import { doRound } from "../soak/rounds.ts";
import { Work } from "../soak/work.ts";

const MIB = 2 ** 20;
const AT_ONCE = 4;
/** Once each kind of thing, and the engine's heap and compiled code have found their size. */
const WARM_UP_ROUNDS = 2;
const ROUNDS = 4;

await t.test("lives, execs, terminals, changes and reconnects", { timeout: 230_000 }, async (t) => {
  const { agent, host } = await startGuest(t, ["--loglevel", "info"]);
  const work = new Work({ agent, host });
  const inits = await work.begin();
  for (let round = 0; round < WARM_UP_ROUNDS; round++) await doRound(work, AT_ONCE);
  const before = { census: takeCensus(agent), memory: privateMemory(agent.pid) };
  for (let round = 0; round < ROUNDS; round++) await doRound(work, AT_ONCE);

  t.same(await lastingDrift(before.census, agent, 10_000), [], "nothing is more than it was");
  t.same(childrenOf(agent.pid).toSorted(), inits.map(String).toSorted(), "no zombie, no orphan");
  const grown = privateMemory(agent.pid) - before.memory;
  t.ok(grown < 8 * MIB, `memory did not grow with the count (${Math.round(grown / 1024)} KiB)`);

  await host.close();
  t.equal(await agent.stop(), 0);
  t.same([cgroupsOf(agent.cgroupParent), mountsOf(process.pid, agent.directory)], [[], []]);
  t.equal(existsSync(agent.directory), false);
  for (const pid of inits) t.equal(existsSync(`/proc/${pid}`), false, "what ran was ended");
});
