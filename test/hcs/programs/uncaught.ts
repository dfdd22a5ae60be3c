/** A program that lets an error of the guest's end it; run by programs.test.ts. */
import { createComputeSystem, LocalDriver } from "../../../src/hcs/index.ts";

const vm = await createComputeSystem("vm", { VirtualMachine: {} }, { driver: new LocalDriver() });
await vm.start();
const container = await createComputeSystem("c", { HostingSystemId: "vm", HostedSystem: { Container: {} } });
await container.start();
await container.createProcess({ CommandArgs: ["/no/such/program"] });
