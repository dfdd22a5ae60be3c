import { AgentError } from "../../errors.ts";
import { type Connection, systemPath } from "./connection.ts";
import { forEachSystem } from "./for-each.ts";
import { stop } from "./stop.ts";
import { SYSTEMS, serviceVerb } from "./verb.ts";

export const verb = serviceVerb({
  operands: [SYSTEMS],
  about: "Removes stopped systems with their logs.",
  options: [{ name: "force", short: "f", help: "end those that run" }],
  run: async (found, service) =>
    await forEachSystem(found.operands, async (id) => {
      await remove(service, id, found.has("force"));
      return undefined;
    }),
});

async function remove(service: Connection, id: string, force: boolean): Promise<void> {
  const { State } = (await service.get(systemPath(id))) as { State: string };
  if (State === "Running" || State === "Paused") {
    if (!force) {
      throw new AgentError("INVALID_STATE", `${id} is ${State.toLowerCase()}; stop it first, or use --force`);
    }
    await stop(service, id, 0);
  } else if (State === "Created") {
    await service.post(systemPath(id, "terminate"));
  }
  await service.delete(systemPath(id));
}
