import { UsageError } from "../arguments.ts";
import type { Connection } from "./connection.ts";
import { systemPath } from "./connection.ts";
import { verb } from "./verb.ts";

/** What `docker stop` gives. */
const DEFAULT_GRACE_MS = 10_000;

export const { main } = verb("stop", {
  operands: "NAME",
  about: `Asks the container's first process to end (SIGTERM), and ends it by force when it has not some time later. Its
log and state stay until \`lcow rm\`.`,
  options: [{ name: "time-ms", value: "N", help: `milliseconds before force (default ${DEFAULT_GRACE_MS})` }],
  count: [1, 1],
  async run(found, service) {
    const [id = ""] = found.operands;
    const text = found.value("time-ms");
    const grace = text === undefined ? DEFAULT_GRACE_MS : Number(text);
    if (!(Number.isInteger(grace) && grace >= 0)) {
      throw new UsageError(`--time-ms ${text}: expected a whole number of milliseconds`);
    }
    await stop(service, id, grace);
    return 0;
  },
});

export async function stop(service: Connection, id: string, graceMs: number): Promise<void> {
  const { State } = (await service.get(systemPath(id))) as { State: string };
  if (State === "Stopped") return;
  const ended = service.get(systemPath(id, "wait")).then(
    () => true,
    // How it ended is unknown, but ended it has.
    () => true,
  );
  // A paused process takes no signal.
  if (State === "Paused") await service.post(systemPath(id, "resume"));
  if (graceMs > 0) {
    await service.post(systemPath(id, "shutdown"));
    const { promise: late, resolve } = Promise.withResolvers<boolean>();
    const timer = setTimeout(resolve, graceMs, false);
    const isEnded = await Promise.race([ended, late]);
    clearTimeout(timer);
    if (isEnded) return;
  }
  await service.post(systemPath(id, "terminate"));
  await ended;
}
