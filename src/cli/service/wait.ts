import { print } from "../output.ts";
import { systemPath } from "./connection.ts";
import { verb } from "./verb.ts";

export const { main } = verb("wait", {
  operands: "NAME",
  about: "Waits for a system's end, and prints the exit code of the container's first process.",
  options: [],
  count: [1, 1],
  async run({ operands: [id = ""] }, service) {
    await service.get(systemPath(id, "wait"));
    const processes = (await service.get(systemPath(id, "processes"))) as {
      init: boolean;
      exitCode?: number;
    }[];
    const code = processes.find(({ init }) => init)?.exitCode;
    if (code !== undefined) await print(`${code}\n`);
    return 0;
  },
});
