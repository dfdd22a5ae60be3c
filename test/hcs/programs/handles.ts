/**
 * A program whose handles are closed by `await using`, and that does nothing to end what they were handles to: run by
 * programs.test.ts as `handles.ts local|vm`. Prints what JSON.stringify() makes of a container's properties.
 */
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { createComputeSystem, defaultService, LocalDriver } from "../../../src/hcs/index.ts";

const local = process.argv[2] === "local";
{
  await using vm = await createComputeSystem(
    "vm",
    { VirtualMachine: {} },
    local ? { driver: new LocalDriver() } : {},
  );
  await vm.start();
  await using container = await createComputeSystem("c", {
    HostingSystemId: "vm",
    HostedSystem: { Container: {} },
  });
  await container.start();
  await using _init = await container.createProcess({
    CommandArgs: ["sleep", "100000"],
    CreateStdOutPipe: true,
  });
  await using uname = await container.createProcess({ CommandLine: "uname -r", CreateStdOutPipe: true });
  const { stdout } = uname.stdio();
  const kernel = stdout === undefined ? "" : (await text(stdout)).trim();
  const v1 = await container.properties([
    "Statistics",
    "ProcessList",
    "MappedVirtualDisk",
    "GuestConnection",
  ]);
  const v2 = await container.propertiesV2(["Statistics", "ProcessList", "TerminateOnLastHandleClosed"]);
  const machine = await vm.properties(["GuestConnection", "MappedVirtualDisk"]);
  const service = await defaultService().getServiceProperties({ PropertyTypes: ["Basic", "Timeouts"] });
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").trim().split(" ");
  const systems = await defaultService().getComputeSystems();
  console.log(JSON.stringify({ kernel, v1, v2, machine, service, systems, children: children.map(Number) }));
}
// Both run on, and can be had again. With nothing left to do the program ends all the same, and they with it.
const [again] = await defaultService().getComputeSystems({ Ids: ["c"] });
console.log(JSON.stringify({ again: again?.State }));
