import { EventEmitter, once } from "node:events";
import type { ServerResponse } from "node:http";
import { stringifyJson } from "../../common/json.ts";
import type { BootStage } from "../uvm/qemu/qemu-uvm.ts";

/** A line of what `GET /systems/ID/stages` answers. */
export interface ReachedStage {
  readonly stage: BootStage;
  /** Since the boot began. */
  readonly ms: number;
}

/** How far the boot of a keeper's machine has come, for those who wait for it. */
export class BootStages {
  readonly #events = new EventEmitter<{ reached: [ReachedStage] }>().setMaxListeners(0);
  #reached: ReachedStage[] = [];

  reached(stage: BootStage, ms: number): void {
    // The first one: the machine boots anew.
    if (stage === "kernel") this.#reached = [];
    this.#reached.push({ stage, ms });
    this.#events.emit("reached", { stage, ms });
  }

  /** Sends what is reached, a line of JSON each, as it comes, until the caller goes. */
  async send(response: ServerResponse): Promise<void> {
    response.writeHead(200, { "Content-Type": "application/x-ndjson" });
    response.flushHeaders();
    const send = (reached: ReachedStage) => response.write(`${stringifyJson(reached)}\n`);
    for (const reached of this.#reached) send(reached);
    this.#events.on("reached", send);
    await once(response, "close");
    this.#events.off("reached", send);
  }
}
