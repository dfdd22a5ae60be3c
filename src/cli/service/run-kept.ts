import { randomBytes } from "node:crypto";
import { type ParsedArguments, UsageError } from "../arguments.ts";
import { NAME } from "../options/container.ts";
import { print } from "../output.ts";
import { checkInputDevice } from "../run/terminal.ts";
import { startAttached } from "./attach.ts";
import { Connection, systemPath } from "./connection.ts";
import { createSystem } from "./create.ts";
import { withProgress } from "./starting.ts";

/** `lcow run` of a container that the service keeps. @returns the exit status */
export async function runKept(found: ParsedArguments): Promise<number> {
  if (found.has("times")) throw new UsageError("--times is about a boot of this command's own");
  const [interactive, terminal] = [found.has("interactive"), found.has("tty")];
  if (!found.has("detach")) checkInputDevice(interactive, terminal);
  const service = new Connection(found);
  const id = found.read(NAME) ?? randomBytes(6).toString("hex");
  await createSystem(service, id, found, found.operands);
  try {
    if (!found.has("detach")) {
      return await startAttached(service, { id, call: "start", body: {}, interactive, terminal });
    }
    await withProgress(service, id, () => service.post(systemPath(id, "start"), { attach: false }));
  } catch (error) {
    // What never ran is of no use; and the name is free for another try.
    await discardCreated(service, id);
    throw error;
  }
  await print(`${id}\n`);
  return 0;
}

/** Leaves alone what has run: its log may tell why it has ended. */
async function discardCreated(service: Connection, id: string): Promise<void> {
  const path = systemPath(id);
  const known = (await service.get(path).catch(() => ({}))) as { StartError?: object };
  // The failure of the start is what the user is told.
  if (known.StartError !== undefined) await service.delete(path).catch(() => undefined);
}
