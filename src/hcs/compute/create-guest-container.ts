import { checkContainerId } from "../../protocol/container-id.ts";
import type * as cow from "./cow.ts";
import type { HostedOciDocument } from "./documents/document.ts";
import { defaultTimeouts } from "./documents/service-settings.ts";
import type { RunningVm } from "./drivers/driver.ts";
import { makeSystemError } from "./errors.ts";
import { HandlesInUse } from "./handles-in-use.ts";
import { ContainerKind } from "./kinds/container-kind.ts";
import { System } from "./system.ts";
import { SystemRecord } from "./system-record.ts";

/**
 * Makes a container in a guest that no compute service knows of: what hcsshim's gcs.GuestConnection.CreateContainer
 * does. It ends with its guest.
 * @param id 1 to 255 of `[A-Za-z0-9_+.-]`, the first a letter or digit
 * @param container its OCI specification, and where in the guest its files belong
 * @throws SystemError as ComputeService.createComputeSystem
 */
export async function createGuestContainer(
  vm: RunningVm,
  id: string,
  container: HostedOciDocument,
  options: cow.CallOptions = {},
): Promise<cow.Container> {
  try {
    checkContainerId(id);
    const host = { vm, hosted: new Set<never>(), exited: vm.uvm.guest.ended, disks: () => ({}) };
    const kind = new ContainerKind(id, "", host);
    await kind.createFromSpec(container, options);
    const record = new SystemRecord(id, kind, {
      name: undefined,
      owner: "",
      terminateOnLastHandleClosed: false,
      timeouts: defaultTimeouts,
      // The guest is the caller's, and so is what keeps it.
      inUse: new HandlesInUse(() => undefined),
      onGone: () => undefined,
    });
    return new System(record);
  } catch (thrown) {
    throw makeSystemError(id, "gcs::GuestConnection::CreateContainer", thrown);
  }
}
