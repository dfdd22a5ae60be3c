import { checkContainerId } from "../../protocol/container-id.ts";

/**
 * What a system may be called, for the service and who calls it: an id that the guest takes, too.
 * @throws AgentError INVALID_CONTAINER_ID, quoting it; INVALID_ARGUMENT when it is empty
 */
export function checkSystemName(name: string): void {
  checkContainerId(name);
}
