import { AgentError } from "../../common/errors.ts";
import { type Connection, systemPath } from "./connection.ts";
import { forEachSystem } from "./for-each.ts";
import { SYSTEMS, serviceVerb } from "./verb.ts";

export const verb = serviceVerb({
  operands: [SYSTEMS],
  about: "Removes stopped systems with their logs.",
  options: [{ name: "force", short: "f", help: "end those that run, at once, whatever their machines do" }],
  run: async (found, service) =>
    await forEachSystem(found.operands, async (id) => {
      await remove(service, id, found.has("force"));
      return undefined;
    }),
});

async function remove(service: Connection, id: string, force: boolean): Promise<void> {
  if (force) {
    // In one call: each that a guest or keeper has to answer might be one that it does not.
    await service.delete(`${systemPath(id)}?force=1`);
    return;
  }
  const { State } = (await service.get(systemPath(id))) as { State: string };
  if (State === "Running" || State === "Paused") {
    throw new AgentError("INVALID_STATE", `${id} is ${State.toLowerCase()}; stop it first, or use --force`);
  }
  if (State === "Created") {
    await service.post(systemPath(id, "terminate"));
  }
  await service.delete(systemPath(id));
}
