import { AgentError } from "../../../common/errors.ts";
import { UVM_CONTAINER_ID } from "../../../protocol/container-id.ts";
import type { Properties } from "../../../protocol/schemas/properties.ts";
import type { Handler } from "./handler.ts";

export const getProperties: Handler<"GetProperties"> = async (context, request) => {
  if (request.ContainerId === UVM_CONTAINER_ID) {
    throw new AgentError("RUNTIME_FAILED", "the utility VM itself has no properties; ask for a container's");
  }
  const container = context.uvm.container(request.ContainerId);
  const properties: Properties = {};
  // Each once, however often it is asked for.
  for (const type of new Set(request.Query.PropertyTypes)) {
    if (type === "ProcessList") {
      const pids = await container.runtimeContainer.getProcessIds();
      properties.ProcessList = pids.toSorted((one, other) => one - other).map((pid) => ({ ProcessId: pid }));
    } else if (type === "Statistics") {
      properties.LCOWMetrics = { ...container.statistics() };
    } else {
      context.log.warn({ cid: request.ContainerId, type }, "a host asked for a property that is not known");
    }
  }
  return { Properties: properties };
};
