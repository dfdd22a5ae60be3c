import { AgentError } from "../../../common/errors.ts";
import { UVM_CONTAINER_ID } from "../../../protocol/container-id.ts";
import type { Handler } from "./handler.ts";

export const modifySettings: Handler<"ModifySettings"> = async (
  context,
  { ContainerId, Request: request },
) => {
  if (ContainerId === UVM_CONTAINER_ID) {
    await context.uvm.modify(request);
    return {};
  }
  const container = context.uvm.container(ContainerId);
  if (request.ResourceType === "ContainerConstraints") await container.update(request.Settings.Linux ?? {});
  else if (request.ResourceType === "ContainerExecutionState") {
    await (request.Settings.State === "Paused" ? container.pause() : container.resume());
  } else {
    throw new AgentError(
      "RUNTIME_FAILED",
      `the ResourceType "${request.ResourceType}" is not supported for containers, only "ContainerConstraints" and "ContainerExecutionState"`,
    );
  }
  return {};
};
