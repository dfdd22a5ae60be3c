import { AgentError } from "../../../common/errors.ts";
import { checkContainerId, UVM_CONTAINER_ID } from "../../../protocol/container-id.ts";
import { type Handler, NO_REPLY } from "./handler.ts";

export const create: Handler<"Create"> = async (context, request) => {
  const { ContainerId, ActivityId, ContainerConfig } = request;
  checkContainerId(ContainerId);
  if (ContainerId === UVM_CONTAINER_ID) {
    throw new AgentError("SYSTEM_ALREADY_EXISTS", "the utility VM itself exists already");
  }
  const { OciBundlePath, OciSpecification } = ContainerConfig;
  await context.uvm.createContainer(ContainerId, {
    bundlePath:
      OciBundlePath === undefined || OciBundlePath === "" ? `/run/gcs/c/${ContainerId}` : OciBundlePath,
    spec: OciSpecification,
    onExit: (exitType) => {
      // The replies to those who wait for init go first: they are on their way in this turn of the event loop.
      setImmediate(() => {
        context.notify({ ContainerId, ActivityId, Type: exitType, Operation: "None", Result: 0 });
      });
    },
  });
  return { SelectedProtocolVersion: 0 };
};

/** Nothing to do: init starts with the first ExecuteProcess, which alone says where its stdio goes. */
export const start: Handler<"Start"> = (context, request) => {
  if (request.ContainerId !== UVM_CONTAINER_ID) context.uvm.container(request.ContainerId);
  return {};
};

export const shutdownGraceful: Handler<"ShutdownGraceful"> = (context, request) =>
  shutdown(context, request.ContainerId, true);

export const shutdownForced: Handler<"ShutdownForced"> = (context, request) =>
  shutdown(context, request.ContainerId, false);

async function shutdown(context: Parameters<Handler<"Start">>[0], containerId: string, graceful: boolean) {
  if (containerId === UVM_CONTAINER_ID) {
    context.shutdown(graceful);
    return NO_REPLY;
  }
  await context.uvm.container(containerId).shutdown(graceful);
  return {};
}

export const deleteContainerState: Handler<"DeleteContainerState"> = async (context, request) => {
  await context.uvm.deleteContainer(request.ContainerId);
  return {};
};
