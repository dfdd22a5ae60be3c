import type { ComputeSystemQuery, ContainerProperties } from "../compute/documents/schema1.ts";
import type { ContainerConfig } from "../compute/documents/v1-config.ts";
import type { ComputeService, CreateOptions } from "../compute/service.ts";
import { Container } from "./container.ts";

/**
 * Makes a container and its utility VM, which start() then starts; options may name a driver, as createComputeSystem's.
 * @throws SystemError as ComputeService.createComputeSystem, naming a field that is set without a meaning here
 */
export async function createContainer(
  service: ComputeService,
  id: string,
  config: ContainerConfig,
  options: CreateOptions = {},
): Promise<Container> {
  return new Container(
    await service.createComputeSystem(id, { SystemType: "Container", ...config }, options),
  );
}

/** Another handle to a container. @throws SystemError ErrComputeSystemDoesNotExist */
export async function openContainer(service: ComputeService, id: string): Promise<Container> {
  return new Container(await service.openComputeSystem(id));
}

/** The containers that fit every part of the query. */
export async function getContainers(
  service: ComputeService,
  query: ComputeSystemQuery = {},
): Promise<ContainerProperties[]> {
  return await service.getComputeSystems({ Types: ["Container"], ...query });
}
