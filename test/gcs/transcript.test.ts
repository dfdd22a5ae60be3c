import t from "tap";
import { startAgent } from "../helpers/agent.ts";
import { localEnvironment } from "./suites/environment.ts";
import { replayTranscript } from "./suites/transcript.ts";

await t.test("every recorded step", { timeout: 120_000 }, async (t) => {
  const agent = startAgent();
  const environment = await localEnvironment(agent);
  t.teardown(async () => {
    await environment.host.close();
    await agent.stop();
  });
  await replayTranscript(t, environment);
  t.equal(await agent.stop(), 0, "the agent ends by itself");
});
