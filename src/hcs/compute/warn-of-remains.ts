import { describeError } from "../../common/errors.ts";

/**
 * Tells the program, where no call of it waits, that something was not removed: an event of `process`, which Node
 * prints unless it is told otherwise.
 * @param whose "of system c"
 */
export function warnOfRemains(whose: string, error: unknown): void {
  const code = "HCS_CLEANUP_FAILED";
  process.emitWarning(`what is left ${whose} could not be removed: ${describeError(error)}`, { code });
}
