import t from "tap";
import { startAgent } from "../helpers/agent.ts";
import { sendBadInput } from "./suites/bad-input.ts";
import { localEnvironment } from "./suites/environment.ts";

await t.test("whatever a host should not send", { timeout: 120_000 }, async (t) => {
  const agent = startAgent();
  const environment = await localEnvironment(agent);
  t.teardown(async () => {
    await environment.host.close();
    await agent.stop();
  });
  await sendBadInput(t, environment);
  t.equal(await agent.stop(), 0, "the agent ends well");
  t.notMatch(agent.log(), /nobody caught|nobody looked/, "no defect showed");
});
