import type { UtilityVmDriver } from "./drivers/driver.ts";
import { QemuDriver } from "./drivers/qemu-driver.ts";
import { ComputeService } from "./service.ts";

let driver: UtilityVmDriver | undefined;
let service: ComputeService | undefined;

/**
 * Chooses how utility VMs are made from now on; default: {@link QemuDriver}. Without a virtual machine, as root on this
 * machine, containers run only where a `LocalDriver` is named, here or in a call's options.
 */
export function setDriver(chosen: UtilityVmDriver): void {
  driver = chosen;
  service = undefined;
}

/** The compute service that the functions here work on. */
export function defaultService(): ComputeService {
  driver ??= new QemuDriver();
  service ??= new ComputeService({ driver });
  return service;
}
