import { UsageError } from "../arguments.ts";
import { checkInputDevice } from "../run/terminal.ts";
import { startAttached } from "./attach.ts";
import { systemPath } from "./connection.ts";
import { forEachSystem } from "./for-each.ts";
import { withProgress } from "./starting.ts";
import { SYSTEMS, serviceVerb } from "./verb.ts";

export const verb = serviceVerb({
  operands: [SYSTEMS],
  about: `Boots the virtual machines and starts the containers' commands. With --attach this command connects its
standard streams, and its exit status is the container's; otherwise the output goes to \`lcow logs\`.`,
  options: [
    { name: "attach", short: "a", help: "connect to the command, and wait for its end" },
    { name: "interactive", short: "i", help: "connect standard input, too; create must have said so" },
    { name: "tty", short: "t", help: "the command has a terminal; create must have said so" },
  ],
  async run(found, service) {
    const attach = found.has("attach");
    const [interactive, terminal] = [found.has("interactive"), found.has("tty")];
    if (!attach && (interactive || terminal)) throw new UsageError("--interactive and --tty need --attach");
    if (!attach) {
      return await forEachSystem(found.operands, async (id) => {
        const start = () => service.post(systemPath(id, "start"), { attach });
        // One line shows one of them.
        await (found.operands.length === 1 ? withProgress(service, id, start) : start());
        return id;
      });
    }
    checkInputDevice(interactive, terminal);
    const [id = "", ...others] = found.operands;
    if (others.length > 0) throw new UsageError("--attach takes one NAME");
    return await startAttached(service, { id, call: "start", body: {}, interactive, terminal });
  },
});
