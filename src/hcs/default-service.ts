import { AutoDriver } from "./compute/auto-driver.ts";
import type { UtilityVmDriver } from "./compute/driver.ts";
import { ComputeService } from "./compute/service.ts";

let driver: UtilityVmDriver | undefined;
let service: ComputeService | undefined;

/** Chooses how utility VMs are made from now on; default: {@link AutoDriver}. */
export function setDriver(chosen: UtilityVmDriver): void {
  driver = chosen;
  service = undefined;
}

/** The compute service that the functions here work on. */
export function defaultService(): ComputeService {
  driver ??= new AutoDriver();
  service ??= new ComputeService({ driver });
  return service;
}
