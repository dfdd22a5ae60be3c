import { callJson } from "../../hcs/serve/client.ts";
import { defaultStateDirectory, serviceSocket } from "../../hcs/serve/paths.ts";

/** Who presses the tab key does not wait longer. */
const TIMEOUT_MS = 2_000;

/** The names of all systems; none without a service. */
export async function systemNames(): Promise<string[]> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const socket = serviceSocket(defaultStateDirectory());
    const systems = (await callJson(socket, "GET", "/systems", undefined, { signal })) as { Id: string }[];
    return systems.map(({ Id }) => Id);
  } catch {
    // Nothing can be told in the middle of a command line; the command that is typed there will tell it.
    return [];
  }
}
