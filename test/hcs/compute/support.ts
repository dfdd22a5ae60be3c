import { text } from "node:stream/consumers";
import type { Test } from "tap";
import {
  ComputeService,
  type ComputeSystemDocument,
  LocalDriver,
  type ProcessParameters,
  type System,
} from "../../../src/hcs/index.ts";

export const LOOP = ["/bin/sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done"];

/** A service of the test's own, over agents without a VM; everything in it ends with the test. */
export function localService(t: Test): ComputeService {
  const service = new ComputeService({ driver: new LocalDriver() });
  t.teardown(() => service.close());
  return service;
}

/** A VM that runs. */
export async function runningVm(service: ComputeService, id = "vm"): Promise<System> {
  const vm = await service.createComputeSystem(id, { Owner: "tests", VirtualMachine: {} });
  await vm.start();
  return vm;
}

/** A container that runs, without a process yet. */
export async function runningContainer(
  service: ComputeService,
  id = "container",
  container = {},
): Promise<System> {
  const document: ComputeSystemDocument = { HostingSystemId: "vm", HostedSystem: { Container: container } };
  const system = await service.createComputeSystem(id, document);
  await system.start();
  return system;
}

/** A container whose init loops until SIGTERM, on which it exits with 3; and its init. */
export async function loopingContainer(service: ComputeService, id = "container", container = {}) {
  const system = await runningContainer(service, id, container);
  const init = await system.createProcess({ CommandArgs: LOOP, CreateStdOutPipe: true });
  const { stdout } = init.stdio();
  // Its trap is set once it says so.
  await new Promise((resolve) => stdout?.once("data", resolve));
  return { system, init };
}

/** Runs a command to its end. */
export async function run(system: System, parameters: ProcessParameters) {
  const process = await system.createProcess({
    CreateStdOutPipe: true,
    ...(parameters.EmulateConsole !== true && { CreateStdErrPipe: true }),
    ...parameters,
  });
  const { stdout, stderr } = process.stdio();
  const [output, complaints, code] = await Promise.all([
    stdout === undefined ? "" : text(stdout),
    stderr === undefined ? "" : text(stderr),
    process.wait(),
  ]);
  await process.close();
  return { output, complaints, code, pid: process.pid };
}

/** What a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error("it did not reject");
}
