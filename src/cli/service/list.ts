import { print } from "../output.ts";
import { JSON_OPTION } from "./connection.ts";
import { formatAge, printTable } from "./table.ts";
import { serviceVerb } from "./verb.ts";

interface Listed {
  readonly Id: string;
  readonly SystemType: string;
  readonly State: string;
  readonly Owner?: string;
  readonly HostingSystemId?: string;
  readonly CreatedAt: string;
  readonly Command: string;
}

export const verb = serviceVerb({
  operands: [],
  about: "Shows the systems that the service has.",
  options: [JSON_OPTION, { name: "names", short: "q", help: "names only, one a line" }],
  async run(found, service) {
    const systems = (await service.get("/systems")) as Listed[];
    if (found.has("names")) {
      await print(systems.map(({ Id }) => `${Id}\n`).join(""));
      return 0;
    }
    const rows = systems.map(
      ({ Id, SystemType, State, Owner = "", HostingSystemId = "", CreatedAt, Command }) => [
        ...[Id, SystemType, State, Owner, HostingSystemId],
        formatAge(Date.now() - Date.parse(CreatedAt)),
        Command.length > 40 ? `${Command.slice(0, 37)}...` : Command,
      ],
    );
    const heading = ["NAME", "TYPE", "STATE", "OWNER", "HOST", "AGE", "COMMAND"];
    await printTable(heading, rows, { wanted: found.has("json"), data: systems });
    return 0;
  },
});
