import { stringifyJson } from "../../common/json.ts";
import { printableJson } from "../../common/printable.ts";
import { print } from "../output.ts";
import { systemPath } from "./connection.ts";
import { forEachSystem } from "./for-each.ts";
import { SYSTEMS, serviceVerb } from "./verb.ts";

export const verb = serviceVerb({
  operands: [SYSTEMS],
  about: "Shows all that the service knows of systems: a JSON array with an object for each.",
  options: [],
  async run({ operands }, service) {
    const known: unknown[] = [];
    const status = await forEachSystem(operands, async (id) => {
      const [system, Processes] = await Promise.all([
        service.get(systemPath(id)),
        service.get(systemPath(id, "processes")),
      ]);
      known[operands.indexOf(id)] = { ...(system as object), Processes };
      return undefined;
    });
    await print(`${printableJson(stringifyJson(known.filter((entry) => entry !== undefined)))}\n`);
    return status;
  },
});
