import { systemPath } from "./connection.ts";
import { forEachSystem } from "./for-each.ts";
import { SYSTEMS, serviceVerb } from "./verb.ts";

export const verb = serviceVerb({
  operands: [SYSTEMS],
  about:
    "Stops running systems where they are, until `lcow resume`: a virtual machine's processors, without one its processes.",
  options: [],
  run: async ({ operands }, service) =>
    await forEachSystem(operands, async (id) => {
      await service.post(systemPath(id, "pause"));
      return undefined;
    }),
});
