import { AgentError } from "../../errors.ts";
import { systemPath } from "./connection.ts";
import { stop } from "./stop.ts";
import { verb } from "./verb.ts";

export const { main } = verb("rm", {
  operands: "NAME...",
  about: "Removes stopped systems with their logs.",
  options: [{ name: "force", short: "f", help: "end those that run" }],
  count: [1, Number.POSITIVE_INFINITY],
  async run(found, service) {
    for (const id of found.operands) {
      const { State } = (await service.get(systemPath(id))) as { State: string };
      if (State === "Running" || State === "Paused") {
        if (!found.has("force")) {
          throw new AgentError(
            "INVALID_STATE",
            `${id} is ${State.toLowerCase()}; stop it first, or use --force`,
          );
        }
        await stop(service, id, 0);
      } else if (State === "Created") {
        await service.post(systemPath(id, "terminate"));
      }
      await service.delete(systemPath(id));
    }
    return 0;
  },
});
