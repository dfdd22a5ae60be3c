import type { Test } from "tap";
import { type Agent, startAgent } from "./agent.ts";
import { RawHost } from "./raw-host.ts";

export interface Guest {
  readonly agent: Agent;
  readonly host: RawHost;
}

/** An agent and a host that it has dialled; nothing is negotiated yet. Both end with the test. */
export async function startGuest(t: Pick<Test, "teardown">, flags: readonly string[] = []): Promise<Guest> {
  const agent = startAgent(flags);
  const host = new RawHost(agent.prefix);
  t.teardown(async () => {
    await host.close();
    await agent.stop();
  });
  await host.accept();
  return { agent, host };
}
