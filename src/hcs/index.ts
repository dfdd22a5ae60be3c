/**
 * The host side: Microsoft's Host Compute Service calls as hcsshim has them, for Linux containers in utility VMs on
 * any host. The functions here work on one compute service of this process, which setDriver() equips; programs that
 * want more than one make a ComputeService each.
 *
 * Every duration is in milliseconds.
 */

import { defaultService } from "./compute/default-service.ts";
import type { ComputeSystemDocument } from "./compute/documents/document.ts";
import type { ComputeSystemQuery, ContainerProperties } from "./compute/documents/schema1.ts";
import type {
  ModificationRequest,
  ServiceProperties,
  ServicePropertyQuery,
} from "./compute/documents/schema2.ts";
import type { CreateOptions } from "./compute/service.ts";
import type { System } from "./compute/system.ts";

export { AgentError, type ErrorCode } from "../common/errors.ts";
export * from "./compute/cow.ts";
export { createGuestContainer } from "./compute/create-guest-container.ts";
export { defaultService, setDriver } from "./compute/default-service.ts";
export type {
  ComputeSystemDocument,
  ContainerDocument,
  HostedOciDocument,
  VirtualMachineDocument,
} from "./compute/documents/document.ts";
export type { ExactInteger } from "./compute/documents/exact-integer.ts";
export * from "./compute/documents/schema1.ts";
export * from "./compute/documents/schema2.ts";
export type { Timeouts } from "./compute/documents/service-settings.ts";
export type { ContainerConfig } from "./compute/documents/v1-config.ts";
export type { HostModification, RunningVm, UtilityVmDriver } from "./compute/drivers/driver.ts";
export { LocalDriver } from "./compute/drivers/local-driver.ts";
export { QemuDriver, type QemuDriverOptions } from "./compute/drivers/qemu-driver.ts";
export * from "./compute/error-codes.ts";
export * from "./compute/errors.ts";
export type { WaitOptions } from "./compute/notification-hub.ts";
export * from "./compute/notifications.ts";
export { createNtfsVhd } from "./compute/ntfs-vhd.ts";
/** Class names that the cow interfaces have, too: these are the compute service's own. */
export { Process as ComputeProcess } from "./compute/process.ts";
export { ComputeService, type CreateOptions } from "./compute/service.ts";
export { System } from "./compute/system.ts";
export type { GuestConnection } from "./guest/guest-connection.ts";
export type { ContainerRoot, UtilityVm } from "./uvm/utility-vm.ts";
/** Version 1 of the interface. */
export * as v1 from "./v1/index.ts";

/**
 * Makes a system, which start() then starts. A document with `VirtualMachine`, or of version 1, is a virtual machine:
 * the image of `npm run image`, unless the document names a kernel. To do without one, as root on this machine, name
 * the driver: `createComputeSystem(id, document, { driver: new LocalDriver() })`, or `setDriver` for all.
 * @param id 1 to 255 of `[A-Za-z0-9_+.-]`, the first a letter or digit
 * @throws SystemError ErrVmcomputeInvalidJSON naming the part of the document that is not known or wrong,
 *   ErrNotSupported naming the part that the driver cannot do, ErrComputeSystemAlreadyExists,
 *   ErrComputeSystemDoesNotExist when there is no system HostingSystemId, ErrTimeout; or what the guest answers
 */
export async function createComputeSystem(
  id: string,
  document: ComputeSystemDocument,
  options: CreateOptions = {},
): Promise<System> {
  return await defaultService().createComputeSystem(id, document, options);
}

/** Another handle to a system. @throws SystemError ErrComputeSystemDoesNotExist */
export async function openComputeSystem(id: string): Promise<System> {
  return await defaultService().openComputeSystem(id);
}

/** The systems that fit every part of the query. Those that have stopped are there as long as they have a handle. */
export async function getComputeSystems(query: ComputeSystemQuery = {}): Promise<ContainerProperties[]> {
  return await defaultService().getComputeSystems(query);
}

/** "Basic": the schema versions; "Timeouts": how long calls may take. @throws HcsError ErrNotSupported */
export async function getServiceProperties(query: ServicePropertyQuery = {}): Promise<ServiceProperties> {
  return await defaultService().getServiceProperties(query);
}

/** Changes "Timeouts" for systems created from now on. @throws HcsError ErrNotSupported, ErrVmcomputeInvalidJSON */
export async function modifyServiceSettings(settings: ModificationRequest): Promise<void> {
  await defaultService().modifyServiceSettings(settings);
}
