import { systemPath } from "./connection.ts";
import { forEachSystem } from "./for-each.ts";
import { SYSTEMS, serviceVerb } from "./verb.ts";

export const verb = serviceVerb({
  operands: [SYSTEMS],
  about:
    "Waits for the ends of systems, and prints the exit codes of the containers' first processes, one a line.",
  options: [],
  run: async ({ operands }, service) =>
    await forEachSystem(operands, async (id) => {
      const { ExitCode } = (await service.get(systemPath(id, "wait"))) as { ExitCode?: number };
      return ExitCode === undefined ? undefined : String(ExitCode);
    }),
});
