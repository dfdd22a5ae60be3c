import { within } from "../common/deadline.ts";
import { AgentError } from "../common/errors.ts";
import type { UtilityVm } from "../hcs/uvm/utility-vm.ts";

/** How long the guest's end may take to be noticed after its connection. */
const DEATH_NOTICE_MS = 2_000;

/** A lost connection is the symptom; the guest's death, noticed a moment later, is the cause. */
export async function causeOf(error: unknown, uvm: UtilityVm): Promise<unknown> {
  if (!(error instanceof AgentError) || error.code !== "TRANSPORT_CLOSED") return error;
  const death = await within(uvm.died, DEATH_NOTICE_MS);
  return death === undefined ? error : new AgentError("TRANSPORT_CLOSED", death.message, { cause: error });
}
