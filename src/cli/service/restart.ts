import { systemPath } from "./connection.ts";
import { forEachSystem } from "./for-each.ts";
import { readGrace, stop, TIME, TIME_MS } from "./stop.ts";
import { SYSTEMS, serviceVerb } from "./verb.ts";

export const verb = serviceVerb({
  operands: [SYSTEMS],
  about: "Stops containers, as `lcow stop` does, and starts them anew. Those that do not run are started.",
  options: [TIME, TIME_MS],
  async run(found, service) {
    const grace = readGrace(found);
    return await forEachSystem(found.operands, async (id) => {
      await stop(service, id, grace);
      await service.post(systemPath(id, "start"), { attach: false });
      return id;
    });
  },
});
