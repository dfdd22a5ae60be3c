import { execFile } from "node:child_process";
import { cpSync, existsSync, symlinkSync } from "node:fs";
import { promisify } from "node:util";
import { test } from "tap";
import * as hcs from "../../../../src/hcs/index.ts";
import { localService, rejection, runningVm } from "../support.ts";

const root = new URL("../../../../", import.meta.url).pathname;

/** A program that makes a system of a document by the default driver, and tells how that ended. */
function programOf(document: object, entry: "createComputeSystem" | "v1.createContainer"): string {
  return `import * as hcs from "./src/hcs/index.ts";
try {
  const system = await hcs.${entry}("vm", ${JSON.stringify(document)});
  await system.start();
  console.log("it runs");
} catch (error) {
  console.log(error.code, error.message);
}
process.exit(0);`;
}

test("without an image the default driver says what to do; it builds nothing and runs nothing here", async (t) => {
  // A checkout in which nothing was built.
  const checkout = t.testdir({});
  for (const name of ["src", "native", "package.json"]) {
    cpSync(`${root}${name}`, `${checkout}/${name}`, { recursive: true });
  }
  symlinkSync(`${root}node_modules`, `${checkout}/node_modules`);
  for (const [document, entry] of [
    [{ VirtualMachine: {} }, "createComputeSystem"],
    [{ VirtualMachine: {}, Container: {} }, "createComputeSystem"],
    [{ SystemType: "Container", ContainerType: "Linux" }, "createComputeSystem"],
    [{ ContainerType: "Linux" }, "v1.createContainer"],
  ] as const) {
    const program = ["--input-type=module", "--eval", programOf(document, entry)];
    const { stdout } = await promisify(execFile)(process.execPath, program, { cwd: checkout });
    t.match(
      stdout,
      /^SPAWN_FAILED .*vmlinux cannot be read; build it with: npm run image/,
      JSON.stringify(document),
    );
  }
  t.notOk(existsSync(`${checkout}/out`), "nothing was built");
});

test("a VM is done without where that is said, for one system or for a service", async (t) => {
  const kernel = { Chipset: { LinuxKernelDirect: { KernelFilePath: "/boot/vmlinuz" } } };
  const local = localService(t);
  const refused = await rejection(local.createComputeSystem("vm", { VirtualMachine: kernel }));
  t.match(refused.message, /LinuxKernelDirect: the local driver .* boots no kernel/);
  t.ok(hcs.isNotSupported(refused));
  await runningVm(local);

  const service = new hcs.ComputeService({ driver: new hcs.QemuDriver() });
  t.teardown(() => service.close());
  const driver = new hcs.LocalDriver();
  const vm = await service.createComputeSystem("one", { VirtualMachine: {} }, { driver });
  await vm.start();
  const hosted = { HostingSystemId: "one", HostedSystem: { Container: {} } };
  const error = await rejection(service.createComputeSystem("c", hosted, { driver }));
  t.match(error, { code: "INVALID_ARGUMENT", message: /this container runs in one/ });
  await (await service.createComputeSystem("c", hosted)).close();
});

test("a query or setting with a misspelled part is refused, rather than answered for all", async (t) => {
  const service = localService(t);
  for (const call of [
    () => service.getComputeSystems({ ids: ["a"] } as never),
    () => service.getComputeSystems({ Ids: "a" } as never),
    () => service.getServiceProperties({ PropertyType: ["Basic"] } as never),
    () => service.modifyServiceSettings({ PropertyType: "Timeouts", settings: {} } as never),
  ]) {
    const error = await rejection(call());
    t.match(error, { name: "HcsError", code: "INVALID_JSON" });
  }
  t.strictSame(await service.getComputeSystems({ Ids: null as never }), [], "Go's empty list");
});
