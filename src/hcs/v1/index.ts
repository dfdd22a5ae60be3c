/**
 * Version 1 of the interface: containers whose utility VM comes and goes with them. The functions work on the same
 * compute service as those of the package's entry.
 */

import { defaultService } from "../compute/default-service.ts";
import type { ComputeSystemQuery, ContainerProperties } from "../compute/documents/schema1.ts";
import type { ContainerConfig } from "../compute/documents/v1-config.ts";
import type { CreateOptions } from "../compute/service.ts";
import type { Container } from "./container.ts";
import * as functions from "./functions.ts";

export type { ContainerConfig } from "../compute/documents/v1-config.ts";
export { Container } from "./container.ts";
export { ContainerError, ProcessError } from "./errors.ts";
export { Process } from "./process.ts";
export type { ProcessConfig } from "./process-config.ts";

/**
 * Makes a container and its utility VM, which start() then starts; options may name a driver, as createComputeSystem's.
 * @throws SystemError as ComputeService.createComputeSystem, naming a field that is set without a meaning here
 */
export async function createContainer(
  id: string,
  config: ContainerConfig,
  options: CreateOptions = {},
): Promise<Container> {
  return await functions.createContainer(defaultService(), id, config, options);
}

/** Another handle to a container. @throws SystemError ErrComputeSystemDoesNotExist */
export async function openContainer(id: string): Promise<Container> {
  return await functions.openContainer(defaultService(), id);
}

/** The containers that fit every part of the query. */
export async function getContainers(query: ComputeSystemQuery = {}): Promise<ContainerProperties[]> {
  return await functions.getContainers(defaultService(), query);
}
