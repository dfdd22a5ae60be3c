import { print } from "../output.ts";
import { checkInputDevice } from "../run/terminal.ts";
import { startAttached } from "./attach.ts";
import { systemPath } from "./connection.ts";
import { verb } from "./verb.ts";

export const { main } = verb("start", {
  operands: "NAME",
  about: `Boots the virtual machine and starts the container's command. With --attach this command connects its
standard streams, and its exit status is the container's; otherwise the output goes to \`lcow logs\`.`,
  options: [
    { name: "attach", short: "a", help: "connect to the command, and wait for its end" },
    { name: "interactive", short: "i", help: "connect standard input, too; create must have said so" },
    { name: "tty", short: "t", help: "the command has a terminal; create must have said so" },
  ],
  count: [1, 1],
  async run(found, service) {
    const [id = ""] = found.operands;
    const attach = found.has("attach");
    if (attach) {
      const [interactive, terminal] = [found.has("interactive"), found.has("tty")];
      checkInputDevice(interactive, terminal);
      return await startAttached(service, { id, call: "start", body: {}, interactive, terminal });
    }
    await service.post(systemPath(id, "start"), { attach });
    await print(`${id}\n`);
    return 0;
  },
});
