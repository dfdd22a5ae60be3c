import { PROCESS_OPTIONS, readProcess } from "../options/process.ts";
import { print } from "../output.ts";
import { checkInputDevice, windowSize } from "../run/terminal.ts";
import { COMMAND } from "../verb.ts";
import { startAttached } from "./attach.ts";
import { systemPath } from "./connection.ts";
import { processParameters } from "./document.ts";
import { SYSTEM, serviceVerb } from "./verb.ts";

export const verb = serviceVerb({
  operands: [SYSTEM, COMMAND],
  about: "Runs a further command in a running container. The exit status is the command's.",
  options: [
    ...PROCESS_OPTIONS,
    { name: "detach", short: "d", help: "do not wait; print the process id" },
    { name: "in-vm", help: "outside the container, in its virtual machine" },
  ],
  async run(found, service) {
    const [id = "", ...command] = found.operands;
    const request = readProcess(found, command);
    const { interactive, terminal } = request;
    const detach = found.has("detach");
    if (!detach) checkInputDevice(interactive, terminal);
    const size = terminal ? windowSize() : undefined;
    const parameters = {
      ...processParameters(request),
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
