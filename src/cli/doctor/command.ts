/** `lcow doctor`: whether this machine has what lcow needs, and how to get what it has not. */
import { print } from "../output.ts";
import { JSON_OPTION, STATE_OPTION, stateDirectory } from "../service/connection.ts";
import { printTable } from "../service/table.ts";
import type { Verb } from "../verb.ts";

/** `lcow run` would not work. */
const LACKING = 1;

export const verb: Verb = {
  operands: [],
  about: `Checks what lcow needs of this machine, and says of what is missing what it is needed for and how to get it. What
is MISSING keeps \`lcow run\` from working, and the exit status is 1; a note tells of what is slower without, or is needed
for other commands only. KVM is tried by booting a kernel. Nothing is written, and nothing started that stays.`,
  options: [JSON_OPTION, STATE_OPTION],
  async run(found) {
    const [{ checks }, { formatDiagnosis, runChecks, works }, { hereAndNow }] = await Promise.all([
      import("./checks.ts"),
      import("./check.ts"),
      import("./surroundings.ts"),
    ]);
    const diagnosis = await runChecks(checks, hereAndNow(stateDirectory(found)));
    const doesWork = works(diagnosis);
    if (found.has(JSON_OPTION.name)) {
      await printTable([], [], { wanted: true, data: { works: doesWork, checks: diagnosis } });
    } else {
      await print(formatDiagnosis(diagnosis));
    }
    return doesWork ? 0 : LACKING;
  },
};
