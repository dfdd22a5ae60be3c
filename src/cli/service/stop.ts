import { LONGEST_TIMER_MS, settlesWithin } from "../../common/deadline.ts";
import { AgentError } from "../../common/errors.ts";
import { type OptionDescription, type ParsedArguments, UsageError } from "../arguments.ts";
import { readCount } from "../values.ts";
import type { Connection } from "./connection.ts";
import { systemPath } from "./connection.ts";
import { forEachSystem } from "./for-each.ts";
import { SYSTEMS, serviceVerb } from "./verb.ts";

/** What `docker stop` gives. */
const DEFAULT_GRACE_MS = 10_000;
const LONGEST_SECONDS = Math.floor(LONGEST_TIMER_MS / 1000);

export const TIME: OptionDescription<number> = {
  name: "time",
  short: "t",
  aliases: ["timeout"],
  value: "SECONDS",
  read: readCount(0, LONGEST_SECONDS, "seconds"),
  help: `how long before force (default ${DEFAULT_GRACE_MS / 1000})`,
};
export const TIME_MS: OptionDescription<number> = {
  name: "time-ms",
  value: "N",
  read: readCount(0, LONGEST_TIMER_MS, "milliseconds"),
  help: "the same in milliseconds",
};

/** @throws UsageError */
export function readGrace(found: ParsedArguments): number {
  const [seconds, milliseconds] = [found.read(TIME), found.read(TIME_MS)];
  if (seconds !== undefined && milliseconds !== undefined) {
    throw new UsageError("give --time or --time-ms, not both");
  }
  return milliseconds ?? (seconds === undefined ? DEFAULT_GRACE_MS : seconds * 1000);
}

export const verb = serviceVerb({
  operands: [SYSTEMS],
  about: `Asks the containers' first processes to end (SIGTERM), and ends them by force when they have not some time
later. Their logs and states stay until \`lcow rm\`.`,
  options: [TIME, TIME_MS],
  async run(found, service) {
    const grace = readGrace(found);
    return await forEachSystem(found.operands, async (id) => {
      await stop(service, id, grace);
      return undefined;
    });
  },
});

export async function stop(service: Connection, id: string, graceMs: number): Promise<void> {
  const { State } = (await service.get(systemPath(id))) as { State: string };
  if (State === "Stopped" || State === "Created") return;
  const ended = service.get(systemPath(id, "wait")).then(
    () => true,
    (error: unknown) => {
      // How it ended is unknown, but ended it has; unless it is the service that cannot tell, or is gone itself.
      if (isLate(error) || (error instanceof AgentError && error.code === "DIAL_FAILED")) throw error;
      return true;
    },
  );
  ended.catch(() => undefined);
  if (graceMs > 0) {
    const asked = ask(service, id, State);
    if (await settlesWithin(Promise.race([ended, asked.then(() => ended)]), graceMs)) return;
  }
  await service.post(systemPath(id, "terminate"));
  await ended;
}

/** Asks for the end. Who does not answer is ended by force. */
async function ask(service: Connection, id: string, state: string): Promise<void> {
  try {
    // A paused process takes no signal.
    if (state === "Paused") await service.post(systemPath(id, "resume"));
    await service.post(systemPath(id, "shutdown"));
  } catch (error) {
    if (!isLate(error)) throw error;
  }
}

function isLate(error: unknown): boolean {
  return error instanceof AgentError && (error.code === "TIMEOUT" || error.code === "HELPER_TIMEOUT");
}
