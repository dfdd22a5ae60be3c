import { constants } from "node:os";
import type { OptionDescription } from "../arguments.ts";
import { readSignal } from "../values.ts";
import { forEachSystem } from "./for-each.ts";
import { sendSignal } from "./signal.ts";
import { SYSTEMS, serviceVerb } from "./verb.ts";

const SIGNAL: OptionDescription<number> = {
  name: "signal",
  short: "s",
  value: "SIGNAL",
  read: readSignal,
  completes: "signal",
  help: "what to send, such as TERM, SIGUSR1, RTMIN+1 or 10 (default KILL)",
};

export const verb = serviceVerb({
  operands: [SYSTEMS],
  about: "Sends a signal to the containers' first processes.",
  options: [SIGNAL],
  async run(found, service) {
    const signal = found.read(SIGNAL) ?? constants.signals.SIGKILL;
    return await forEachSystem(found.operands, async (id) => {
      await sendSignal(service, id, signal);
      return undefined;
    });
  },
});
