import { print } from "../output.ts";
import { readOneOf } from "../values.ts";
import type { Verb } from "../verb.ts";
import { scripts } from "./scripts.ts";

const SHELLS = Object.keys(scripts) as (keyof typeof scripts)[];
const readShell = readOneOf(SHELLS);

export const verb: Verb = {
  operands: [{ name: "SHELL", read: readShell, completes: SHELLS }],
  about: `Prints what makes a shell (${SHELLS.join(", ")}) complete lcow's commands, options and their values, and the names of
systems, which come from the service that LCOW_STATE_DIRECTORY names. Source it:

  source <(lcow completion bash)`,
  options: [],
  async run({ operands: [shell = ""] }) {
    await print(scripts[readShell(shell, shell)]);
    return 0;
  },
};
