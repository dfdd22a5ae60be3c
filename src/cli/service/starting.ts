import { createInterface } from "node:readline";
import { parseJson } from "../../common/json.ts";
import type { ReachedStage } from "../../hcs/serve/boot-stages.ts";
import { Progress } from "../progress.ts";
import { type Connection, systemPath } from "./connection.ts";

/** Shows how far the start of a kept system is, while a call waits for it. */
export async function withProgress<Result>(
  service: Connection,
  id: string,
  start: () => Promise<Result>,
): Promise<Result> {
  const progress = new Progress();
  if (!progress.isShown) return await start();
  const over = new AbortController();
  progress.show(`starting ${id}`);
  // Without stages (no machine, no service) the start itself tells what is wrong.
  const following = follow(service, id, progress, over.signal).catch(() => undefined);
  try {
    return await start();
  } finally {
    over.abort();
    await following;
    await progress.done();
  }
}

async function follow(
  service: Connection,
  id: string,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const stages = await service.stream(systemPath(id, "stages"), signal);
  for await (const line of createInterface({ input: stages })) {
    progress.reached((parseJson(line) as ReachedStage).stage);
  }
}
