import { setTimeout as delay } from "node:timers/promises";
import { AgentError } from "../../common/errors.ts";
import { describeSilence } from "../../hcs/serve/heartbeat.ts";
import { limits } from "../../hcs/serve/limits.ts";

/**
 * Tells when who sends a stream falls silent while it is read, and when they are heard again. The stream stays: they may
 * go on.
 * @param ask the service, which asks the keeper
 * @returns ends it
 */
export function tellSilence(
  ask: (signal: AbortSignal) => Promise<unknown>,
  tell: (text: string) => void,
): () => void {
  const over = new AbortController();
  void watch(ask, tell, over.signal);
  return () => over.abort();
}

async function watch(
  ask: (signal: AbortSignal) => Promise<unknown>,
  tell: (text: string) => void,
  over: AbortSignal,
): Promise<void> {
  let heard = Date.now();
  let isSilent = false;
  while (!over.aborted) {
    const silence = await silenceOf(ask, heard, over);
    if (over.aborted) return;
    if (silence !== undefined && !isSilent) tell(silence);
    if (silence === undefined) {
      if (isSilent) tell("the compute service and the keeper of the system answer again");
      heard = Date.now();
    }
    isSilent = silence !== undefined;
    await delay(limits.attachedHeartbeatMs, undefined, { ref: false, signal: over }).catch(() => undefined);
  }
}

/** @returns who does not answer; undefined when they do, or have gone, which the stream's own end tells */
async function silenceOf(
  ask: (signal: AbortSignal) => Promise<unknown>,
  heard: number,
  over: AbortSignal,
): Promise<string | undefined> {
  const late = AbortSignal.timeout(limits.attachedSilenceMs);
  try {
    await ask(AbortSignal.any([over, late]));
    return undefined;
  } catch (error) {
    if (late.aborted) return `the compute service ${describeSilence(heard)}`;
    return error instanceof AgentError && error.code === "TIMEOUT" ? error.message : undefined;
  }
}
