import { UsageError } from "../arguments.ts";
import { print } from "../output.ts";
import { checkInputDevice, windowSize } from "../run/terminal.ts";
import { startAttached } from "./attach.ts";
import { systemPath } from "./connection.ts";
import { PROCESS_OPTIONS, processParameters } from "./create.ts";
import { verb } from "./verb.ts";

export const { main } = verb("exec", {
  operands: "NAME [--] COMMAND [ARGUMENT...]",
  about: "Runs a further command in a running container. The exit status is the command's.",
  options: [
    ...PROCESS_OPTIONS,
    { name: "detach", short: "d", help: "do not wait; print the process id" },
    { name: "in-vm", help: "outside the container, in its virtual machine" },
  ],
  count: [2, Number.POSITIVE_INFINITY],
  async run(found, service) {
    const [id = "", ...rest] = found.operands;
    const command = rest[0] === "--" ? rest.slice(1) : rest;
    if (command.length === 0) throw new UsageError("exec needs a COMMAND");
    const [interactive, terminal, detach] = [found.has("interactive"), found.has("tty"), found.has("detach")];
    if (!detach) checkInputDevice(interactive, terminal);
    const size = terminal ? windowSize() : undefined;
    const parameters = {
      ...processParameters(found, command),
      ...(size !== undefined && { ConsoleSize: [size.rows, size.columns] }),
      ...(found.has("in-vm") && { CreateInUtilityVm: true }),
    };
    if (!detach) {
      const body = { parameters };
      return await startAttached(service, { id, call: "processes", body, interactive, terminal });
    }
    const body = { parameters, attach: false };
    const { pid } = (await service.post(systemPath(id, "processes"), body)) as { pid: number };
    await print(`${pid}\n`);
    return 0;
  },
});
