import { execFileSync } from "node:child_process";
import { truncateSync, writeFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { test } from "tap";
import * as hcs from "../../../src/hcs/index.ts";
import { rejection } from "../compute/support.ts";

const out = new URL("../../../out", import.meta.url).pathname;

/** A disk image with an ext4 file system, in which a directory's files are. */
function disk(path: string, directory: string): string {
  writeFileSync(path, "");
  truncateSync(path, 16 * 1024 * 1024);
  execFileSync("/sbin/mkfs.ext4", ["-q", "-F", "-d", directory, path]);
  return path;
}

async function output(container: hcs.v1.Container, config: hcs.v1.ProcessConfig): Promise<string> {
  const process = await container.createProcess({
    ...config,
    CreateStdOutPipe: true,
    CreateStdErrPipe: true,
  });
  const { stdout, stderr } = await process.stdio();
  if (stdout === undefined || stderr === undefined) throw new Error("no stdio");
  const [said, complained] = await Promise.all([text(stdout), text(stderr)]);
  await process.wait();
  await process.close();
  return said + complained;
}

test("HvRuntime boots a VM; disks, limits, pause, networks", { timeout: 600_000 }, async (t) => {
  hcs.setDriver(new hcs.QemuDriver());
  const service = hcs.defaultService();
  t.teardown(() => service.close());
  const directory = t.testdir({ one: { "first.txt": "first\n" }, two: { "second.txt": "second\n" } });
  const container = await hcs.v1.createContainer("machine", {
    ContainerType: "Linux",
    HvPartition: true,
    HostName: "inside",
    ProcessorCount: 2,
    MemoryMaximumInMB: 256,
    HvRuntime: { ImagePath: out, LinuxKernelFile: "kernel", LinuxInitrdFile: "initrd.img" },
    MappedVirtualDisks: [
      {
        HostPath: disk(`${directory}/one.raw`, `${directory}/one`),
        ContainerPath: "/run/one",
        ReadOnly: true,
      },
      {
        HostPath: disk(`${directory}/two.raw`, `${directory}/two`),
        ContainerPath: "/run/two",
        CreateInUtilityVM: true,
      },
      { HostPath: disk(`${directory}/three.raw`, `${directory}/two`), ContainerPath: "", AttachOnly: true },
    ],
    EndpointList: ["isolated"],
  });
  await container.start();
  const environment = { PATH: "/bin:/usr/bin:/sbin:/usr/sbin" };
  const inVm = (CommandLine: string) =>
    output(container, { CommandLine, CreateInUtilityVm: true, Environment: environment });
  t.match(await inVm("ls /run/two"), "second.txt");
  t.match(await inVm("nproc"), /^2\n/);
  t.match(await container.mappedVirtualDisks(), {
    0: {
      MappedVirtualDisks: {
        1: { HostPath: `${directory}/one.raw`, ContainerPath: "/run/one", ReadOnly: true, AttachOnly: false },
        2: { ContainerPath: "/run/two", CreateInUtilityVM: true },
        3: { AttachOnly: true },
      },
    },
  });
  const init = await container.createProcess({
    CommandArgs: ["cat"],
    CreateStdInPipe: true,
    CreateStdOutPipe: true,
  });
  t.equal(await output(container, { CommandLine: "cat /run/one/first.txt; hostname" }), "first\ninside\n");
  t.match(await output(container, { CommandLine: "touch /run/one/x" }), "Read-only");

  await container.pause();
  t.match(await hcs.v1.getContainers(), [{ Id: "machine", State: "Paused" }]);
  await container.resume();
  t.ok(Number((await container.statistics()).Memory.MemoryUsageCommitBytes ?? 0) > 0);
  t.match(await container.processList(), [{ ProcessId: init.pid }]);

  const Settings = { EndpointId: "isolated", MacAddress: "02-00-00-00-00-33" };
  await container.modify({ ResourceType: "Network", Settings });
  let addresses = "";
  for (const deadline = Date.now() + 60_000; !addresses.includes(":33") && Date.now() < deadline; )
    addresses = await inVm("sh -c 'cat /sys/class/net/*/address'");
  t.match(addresses, "02:00:00:00:00:33");
  await container.modify({ ResourceType: "Network", Settings, RequestType: "Remove" });

  const { stdin, stdout } = await init.stdio();
  stdin?.write("to the end");
  await init.closeStdin();
  t.equal(stdout && (await text(stdout)), "to the end");
  await container.wait();
  t.match(await hcs.v1.getContainers(), [{ State: "Stopped", ExitType: "UnexpectedExit" }]);
  await container.close();
  t.strictSame(await hcs.v1.getContainers(), []);
});

test("terminate while the VM is paused", { timeout: 600_000 }, async (t) => {
  const service = hcs.defaultService();
  t.teardown(() => service.close());
  const container = await hcs.v1.createContainer("paused", {
    ContainerType: "Linux",
    // Without HvRuntime: the image that was built here.
  });
  await container.start();
  const init = await container.createProcess({ CommandArgs: ["sleep", "1000"] });
  await container.pause();
  t.ok(hcs.isPending(await rejection(container.terminate())));
  await container.wait();
  t.equal(await init.exitCode(), 137);
});
