import { UVM_CONTAINER_ID } from "../../../protocol/container-id.ts";
import type { Handler } from "./handler.ts";

export const modifySettings: Handler<"ModifySettings"> = async ({ uvm }, { ContainerId, Request }) => {
  if (ContainerId === UVM_CONTAINER_ID) await uvm.modify(Request);
  else await uvm.modifyContainer(ContainerId, Request);
  return {};
};
