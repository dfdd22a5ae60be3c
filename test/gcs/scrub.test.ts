import t from "tap";
import { loggable, scrub } from "../../src/gcs/bridge/scrub.ts";

const request = {
  ContainerId: "c1",
  ContainerConfig: {
    OciSpecification: {
      process: { args: ["mysql", "-phunter2"], env: ["TOKEN=hunter2"], cwd: "/" },
      annotations: { key: "hunter2" },
      linux: { resources: { memory: { limit: 9223372036854771712n } } },
    },
  },
  Settings: {
    ProcessParameters: { CommandLine: "x hunter2", Environment: { A: "hunter2" }, CommandArgs: ["hunter2"] },
  },
};

await t.test("what can hold a secret is not shown", async (t) => {
  const text = JSON.stringify(scrub(request));
  t.notMatch(text, "hunter2");
  t.match(text, '"limit":"9223372036854771712"');
  t.match(text, '"cwd":"/"');
});

await t.test("unless it was asked for", async (t) => {
  t.match(JSON.stringify(loggable(request)), "hunter2");
});
