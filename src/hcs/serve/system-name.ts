import { AgentError } from "../../common/errors.ts";
import { checkContainerId, UVM_CONTAINER_ID } from "../../protocol/container-id.ts";

/**
 * What a system may be called, for the service and who calls it: an id that the guest takes, too.
 * @throws AgentError INVALID_CONTAINER_ID, quoting it; INVALID_ARGUMENT when it is empty
 */
export function checkSystemName(name: string): void {
  if (name === "") throw new AgentError("INVALID_ARGUMENT", "a system's name is empty");
  checkContainerId(name);
  if (name !== UVM_CONTAINER_ID) return;
  throw new AgentError("INVALID_CONTAINER_ID", `${name} means a virtual machine itself; choose another name`);
}

/**
 * The parts of a request's path: "systems", a system's name, what of it.
 * @throws AgentError INVALID_ARGUMENT where the name is left out, and for what is no path
 */
export function pathParts({ pathname }: URL): string[] {
  let parts: string[];
  try {
    parts = pathname.split("/").slice(1).map(decodeURIComponent);
  } catch (cause) {
    throw new AgentError("INVALID_ARGUMENT", `${pathname} is badly encoded`, { cause });
  }
  // Not the list of all: who leaves a name out, by an empty variable say, means one.
  if (parts[1] === "") throw new AgentError("INVALID_ARGUMENT", "a system's name is empty");
  return parts;
}
