/** `lcow prune`: makes room on the disk. */
import { describeError } from "../common/errors.ts";
import type { Removable } from "../hcs/uvm/prune.ts";
import type { OptionDescription } from "./arguments.ts";
import { print, say } from "./output.ts";
import { START_FAILED } from "./run/exit-status.ts";
import { formatBytes } from "./service/table.ts";
import type { Verb } from "./verb.ts";

const ALL: OptionDescription = {
  name: "all",
  short: "a",
  help: "what the next start would make again, too: the default root, whether KVM works,\ncompiled code",
};
const DRY_RUN: OptionDescription = { name: "dry-run", help: "remove nothing, and tell what would be" };

export const verb: Verb = {
  operands: [],
  about: `Removes cached images of --root directories that no container uses, and what commands have left behind that were
killed together with their agents. Tells each and how much of the disk it took. Containers that run, or that the service
keeps, lose nothing. Without it the cache takes 8 GiB at most, or LCOW_CACHE_SIZE (such as 20g).`,
  options: [ALL, DRY_RUN],
  async run(found) {
    const { findRemovable } = await import("../hcs/uvm/prune.ts");
    const isDry = found.has(DRY_RUN.name);
    let freed = 0;
    let status = 0;
    for (const item of await findRemovable(found.has(ALL.name))) {
      const outcome = isDry || (await remove(item));
      if (outcome === undefined) status = START_FAILED;
      if (outcome !== true) continue;
      freed += item.bytes;
      await print(`${item.path}: ${item.what}, ${formatBytes(item.bytes)}\n`);
    }
    await print(`${isDry ? "would free" : "freed"} ${formatBytes(freed)}\n`);
    return status;
  },
};

/** @returns undefined after it failed, which is told; the others are removed all the same. */
async function remove(item: Removable): Promise<boolean | undefined> {
  try {
    return await item.remove();
  } catch (error) {
    say(`could not remove ${item.path}: ${describeError(error)}`);
    return undefined;
  }
}
