import { AgentError, describeError } from "../../common/errors.ts";
import { OutputError, print, say } from "../output.ts";

/** Some of several were done, some not. */
const SOME_FAILED = 1;

/**
 * Does something to each system, at once. What is returned is printed, in the order of the names; what failed is told,
 * and keeps the others from nothing.
 * @returns the exit status
 * @throws what failed, when there is one name only
 */
export async function forEachSystem(
  names: readonly string[],
  act: (name: string) => Promise<string | undefined>,
): Promise<number> {
  // Once to each: a name that is given twice would otherwise be in its own way.
  const acts = new Map([...new Set(names)].map((name) => [name, act(name)]));
  // Looked at one after the other below.
  for (const done of acts.values()) done.catch(() => undefined);
  let status = 0;
  for (const name of names) {
    try {
      const line = await acts.get(name);
      if (line !== undefined) await print(`${line}\n`);
    } catch (error) {
      if (names.length === 1 || error instanceof OutputError) throw error;
      say(`${describeError(error)} [${error instanceof AgentError ? error.code : "INTERNAL"}]`);
      status = SOME_FAILED;
    }
  }
  return status;
}
