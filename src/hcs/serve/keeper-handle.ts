import { rm } from "node:fs/promises";
import { isGone, isProcessOf, removeAgent } from "../uvm/local/agent-record.ts";
import { readRecord } from "./keeper-record.ts";
import { limits } from "./limits.ts";
import { keeperSocket } from "./paths.ts";
import { Peer } from "./peer.ts";

/** A keeper, as the service knows it: cleaned up after when it is lost. */
export class KeeperHandle extends Peer {
  readonly directory: string;
  #burial: Promise<void> | undefined;

  constructor(directory: string) {
    super(
      keeperSocket(directory),
      (silence) =>
        `the keeper of the system ${silence}; it may be stopped or hang: \`lcow rm --force\` ends it`,
    );
    this.directory = directory;
  }

  /** Its process id while it runs, also when it does not serve any more. */
  async findProcess(): Promise<number | undefined> {
    const pid = (await readRecord(this.directory))?.pid;
    return pid !== undefined && (await isProcessOf(pid, this.directory)) ? pid : undefined;
  }

  /**
   * Kills it, with its VM, and removes what it would have: agents' containers, cgroups and mounts, and its directory.
   * @throws AgentError HELPER_FAILED naming what could not be removed
   */
  bury(): Promise<void> {
    this.#burial ??= this.#bury().finally(() => {
      this.#burial = undefined;
    });
    return this.#burial;
  }

  async #bury(): Promise<void> {
    const record = await readRecord(this.directory);
    if (record !== undefined) {
      const { pid, agents } = record;
      const isKeeper = () => isProcessOf(pid, this.directory);
      if (await isKeeper()) process.kill(pid, "SIGKILL");
      await isGone(isKeeper, limits.peerSilenceMs);
      for (const agent of agents) await removeAgent(agent);
    }
    await rm(this.directory, { recursive: true, force: true });
  }
}
