import { stringifyJson } from "../../common/json.ts";
import { printableJson } from "../../common/printable.ts";
import { print } from "../output.ts";
import { systemPath } from "./connection.ts";
import { forEachSystem } from "./for-each.ts";
import { SYSTEMS, serviceVerb } from "./verb.ts";

/** People read it, too; programs do not mind. */
const INDENT = 2;

export const verb = serviceVerb({
  operands: [SYSTEMS],
  about: "Shows all that the service knows of systems: a JSON array with an object for each.",
  options: [],
  async run({ operands }, service) {
    const known = new Map<string, unknown>();
    const status = await forEachSystem(operands, async (id) => {
      const [system, Processes] = await Promise.all([
        service.get(systemPath(id)),
        service.get(systemPath(id, "processes")),
      ]);
      known.set(id, { ...(system as object), Processes });
      return undefined;
    });
    const found = operands.map((id) => known.get(id)).filter((entry) => entry !== undefined);
    await print(`${printableJson(stringifyJson(found, INDENT))}\n`);
    return status;
  },
});
