import type { OptionDescription } from "../arguments.ts";
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
  readonly ExitCode?: number;
  /** When its guest or keeper last answered; absent while it does. */
  readonly NotAnsweringSince?: string;
  /** Why its last start failed. */
  readonly StartError?: object;
}

/** What people type; there are no others than all. */
const ALL: OptionDescription = {
  name: "all",
  short: "a",
  help: "those that have stopped, too; so it is without",
};

export const verb = serviceVerb({
  operands: [],
  about: "Shows the systems that the service has, with the exit codes of those that have stopped.",
  options: [JSON_OPTION, { name: "names", short: "q", help: "names only, one a line" }, ALL],
  async run(found, service) {
    const systems = (await service.get("/systems")) as Listed[];
    if (found.has("names")) {
      await print(systems.map(({ Id }) => `${Id}\n`).join(""));
      return 0;
    }
    const rows = systems.map(
      ({ Id, SystemType, Owner = "", HostingSystemId = "", CreatedAt, Command, ...state }) => [
        ...[Id, SystemType, stateOf(state), Owner, HostingSystemId],
        formatAge(Date.now() - Date.parse(CreatedAt)),
        Command.length > 40 ? `${Command.slice(0, 37)}...` : Command,
      ],
    );
    const heading = ["NAME", "TYPE", "STATE", "OWNER", "HOST", "AGE", "COMMAND"];
    await printTable(heading, rows, { wanted: found.has("json"), data: systems });
    return 0;
  },
});

/** "Stopped (3)": with the exit code of the container's command. */
function stateOf({
  State,
  ExitCode,
  NotAnsweringSince,
  StartError,
}: Pick<Listed, "State" | "ExitCode" | "NotAnsweringSince" | "StartError">): string {
  if (NotAnsweringSince !== undefined) {
    return `${State} (no answer for ${formatAge(Date.now() - Date.parse(NotAnsweringSince))})`;
  }
  if (StartError !== undefined) return `${State} (start failed)`;
  return State === "Stopped" && ExitCode !== undefined ? `${State} (${ExitCode})` : State;
}
