import { AgentError } from "../../common/errors.ts";
import { say } from "../output.ts";
import { SignalForwarder } from "../run/signals.ts";
import { checkInputDevice } from "../run/terminal.ts";
import { attachStreams } from "./attach.ts";
import { systemPath } from "./connection.ts";
import { SYSTEM, serviceVerb } from "./verb.ts";

interface Known {
  readonly pid: number;
  readonly init: boolean;
  readonly exitCode?: number;
}

interface Streams {
  /** The command has a terminal, or standard input, to be attached to. */
  readonly Terminal?: boolean;
  readonly OpenStdin?: boolean;
}

export const verb = serviceVerb({
  operands: [SYSTEM],
  about: `Connects this command's streams and signals to a running container's first process, and waits for its end, whose
exit status is this command's. What was written before is in \`lcow logs\`. Standard input is connected where the
container was made with --interactive.`,
  options: [{ name: "no-stdin", help: "leave standard input out" }],
  async run(found, service) {
    const [id = ""] = found.operands;
    const processes = (await service.get(systemPath(id, "processes"))) as Known[];
    const init = processes.find((process) => process.init);
    if (init === undefined || init.exitCode !== undefined) {
      throw new AgentError("INVALID_STATE", `${id} does not run; start it with: lcow start --attach ${id}`);
    }
    const { Terminal = false, OpenStdin = false } = (await service.get(systemPath(id))) as Streams;
    const interactive = OpenStdin && !found.has("no-stdin");
    checkInputDevice(interactive, Terminal);
    const signals = new SignalForwarder(say);
    try {
      return await attachStreams(service, { id, pid: init.pid, interactive, terminal: Terminal }, signals);
    } finally {
      signals.stop();
    }
  },
});
