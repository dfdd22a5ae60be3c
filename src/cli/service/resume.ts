import { systemPath } from "./connection.ts";
import { forEachSystem } from "./for-each.ts";
import { SYSTEMS, serviceVerb } from "./verb.ts";

export const verb = serviceVerb({
  operands: [SYSTEMS],
  about: "Lets paused systems go on.",
  options: [],
  run: async ({ operands }, service) =>
    await forEachSystem(operands, async (id) => {
      await service.post(systemPath(id, "resume"));
      return undefined;
    }),
});
