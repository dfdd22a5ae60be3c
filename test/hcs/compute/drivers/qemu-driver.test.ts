import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, copyFileSync, truncateSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "tap";
import * as hcs from "../../../../src/hcs/index.ts";
import { copyRootfs } from "../../../helpers/rootfs.ts";
import { treeDigest } from "../../../helpers/tree-digest.ts";
import { rejection, run, runningContainer } from "../support.ts";

const out = new URL("../../../../out/", import.meta.url).pathname;
const LinuxKernelDirect = { KernelFilePath: `${out}kernel`, InitRdPath: `${out}initrd.img` };
const Chipset = { LinuxKernelDirect };

test("a virtual machine by its document: disks, adapters, memory, pause and resume", {
  timeout: 600_000,
}, async (t) => {
  const directory = t.testdir();
  for (const name of ["boot.raw", "hot.raw", "pmem.raw"]) {
    writeFileSync(`${directory}/${name}`, "");
    truncateSync(`${directory}/${name}`, 16 * 1024 * 1024);
    execFileSync("/sbin/mkfs.ext4", ["-q", "-F", "-L", name, `${directory}/${name}`]);
  }
  copyFileSync(`${directory}/boot.raw`, `${directory}/pmem.vhd`);
  // A fixed VHD's footer.
  appendFileSync(`${directory}/pmem.vhd`, Buffer.alloc(512));
  const service = new hcs.ComputeService({ driver: new hcs.QemuDriver() });
  t.teardown(() => service.close());
  const vm = await service.createComputeSystem("vm", {
    VirtualMachine: {
      Chipset,
      ComputeTopology: { Memory: { SizeInMB: 512 }, Processor: { Count: 2 } },
      Devices: {
        Scsi: {
          "0": {
            Attachments: { "3": { Type: "VirtualDisk", Path: `${directory}/boot.raw`, ReadOnly: true } },
          },
        },
        VirtualPMem: {
          Devices: {
            "1": { HostPath: `${directory}/pmem.vhd`, ReadOnly: true, ImageFormat: "Vhd1" },
            "0": { HostPath: `${directory}/pmem.raw` },
          },
        },
        NetworkAdapters: {
          first: { MacAddress: "02-00-00-00-00-11" },
          second: { EndpointId: "user", MacAddress: "02-00-00-00-00-13" },
        },
      },
    },
  });
  await vm.start();
  const inVm = async (...CommandArgs: string[]) => {
    const Environment = { PATH: "/bin:/usr/bin:/sbin:/usr/sbin" };
    const { output, complaints } = await run(vm, { CommandArgs, Environment });
    return output + complaints;
  };
  t.match(await inVm("cat", "/sys/class/net/eth0/address"), "02:00:00:00:00:11");
  // QEMU's own networks have this machine's loopback at 10.0.2.2.
  const server = createServer((socket) => socket.end("host's loopback\n")).listen(0, "127.0.0.1");
  t.teardown(() => server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const ask = (card: string) =>
    inVm(
      "sh",
      "-c",
      `ip link set ${card} up; ip addr add 10.0.2.15/24 dev ${card}; nc -w 3 10.0.2.2 ${port} </dev/null; ip addr flush dev ${card}`,
    );
  t.notMatch(await ask("eth0"), "host's loopback", "an adapter that names no network reaches nobody");
  t.match(await ask("eth1"), "host's loopback", "one that asks for it does");
  const sizes = await inVm("cat", "/sys/block/pmem0/size", "/sys/block/pmem1/size");
  t.equal(sizes, `${(16 * 1024 * 1024) / 512}\n${(16 * 1024 * 1024) / 512}\n`);
  t.match(await inVm("sh", "-c", "head -c 1200 /dev/pmem1 | strings"), "boot.raw", "in the document's order");
  t.match(await vm.properties(["MappedVirtualDisk"]), {
    MappedVirtualDiskControllers: {
      0: { MappedVirtualDisks: { 3: { HostPath: `${directory}/boot.raw`, ReadOnly: true } } },
    },
  });

  const root = copyRootfs(`${directory}/root`);
  const untouched = treeDigest(root);
  for (const Storage of [{ Path: root }, {}]) {
    const own = await runningContainer(service, "own", { Storage });
    const CommandLine = "touch /file 2>&1 || echo read-only; pwd";
    const shown = await run(own, { CommandLine, WorkingDirectory: "/new/dir" });
    t.match(shown, { output: /^(.*read-only\n)?\/new\/dir\n$/is, code: 0 });
    await own.wait();
    await own.close();
  }
  t.equal(treeDigest(root), untouched, "a root stays as it is");
  const disks = await run(vm, { CommandLine: "/bin/sh -c 'ls -d /run/lcow /run/mounts/scsi/*; true'" });
  t.equal(disks.output, "", "the disks of their roots are taken away again");

  const container = await runningContainer(service, "container", { Memory: { SizeInMB: 64 } });
  const init = await container.createProcess({
    CommandArgs: ["/bin/cat"],
    CreateStdInPipe: true,
    CreateStdOutPipe: true,
  });
  const { stdin, stdout } = init.stdio();
  await container.pause();
  t.ok(
    Number((await container.properties(["Statistics"])).Statistics?.Memory.MemoryUsageCommitBytes ?? 0) > 0,
  );
  await container.resume();
  await vm.pause();
  t.equal((await vm.properties()).State, "Paused");
  const signal = AbortSignal.timeout(500);
  const keepAlive = setTimeout(() => undefined, 1000);
  t.ok(hcs.isTimeout(await rejection(container.properties(["ProcessList"], { signal }))), "nobody answers");
  clearTimeout(keepAlive);
  await vm.resume();
  t.match(await container.properties(["ProcessList"]), { ProcessList: [{ ProcessId: init.pid }] });
  t.ok(hcs.isNotSupported(await rejection(vm.pause().then(() => vm.save({ SaveType: "ToFile" })))));
  await vm.resume();

  const disk = "VirtualMachine/Devices/Scsi/0/Attachments/5";
  const mount = { MountPath: "/run/hot", Controller: 0, Lun: 5 };
  const guest = (Settings: object) => ({ ResourceType: "MappedVirtualDisk", Settings });
  const Settings = { Type: "VirtualDisk", Path: `${directory}/hot.raw` };
  await vm.modify({ ResourcePath: disk, RequestType: "Add", Settings, GuestRequest: guest(mount) });
  t.match(await inVm("ls", "/run/hot"), "lost+found");
  t.match((await vm.properties(["MappedVirtualDisk"])).MappedVirtualDiskControllers, {
    0: { MappedVirtualDisks: { 5: { HostPath: `${directory}/hot.raw` } } },
  });
  await vm.modify({ ResourcePath: disk, RequestType: "Remove", GuestRequest: guest(mount) });
  t.notMatch(await inVm("ls", "/run/hot"), "lost+found");
  const broken = { ...mount, MountPath: "", Partition: 7, BlockDev: true };
  await rejection(
    vm.modify({ ResourcePath: disk, RequestType: "Add", Settings, GuestRequest: guest(broken) }),
  );

  const { MappedVirtualDiskControllers: left } = await vm.properties(["MappedVirtualDisk"]);
  t.strictSame(
    Object.keys(left?.[0]?.MappedVirtualDisks ?? {}),
    ["3"],
    "what failed in the guest is taken away",
  );

  const nic = "VirtualMachine/Devices/NetworkAdapters/second";
  await vm.modify({
    ResourcePath: nic,
    Settings: { EndpointId: "isolated", MacAddress: "02-00-00-00-00-12" },
  });
  let addresses = "";
  for (const deadline = Date.now() + 30_000; !addresses.includes(":12") && Date.now() < deadline; ) {
    addresses = await inVm("/bin/sh", "-c", "cat /sys/class/net/*/address");
  }
  t.match(addresses, "02:00:00:00:00:12");
  await vm.modify({ ResourcePath: nic, RequestType: "Remove" });

  const memory = async () => Number(/MemTotal:\s+(\d+)/.exec(await inVm("cat", "/proc/meminfo"))?.[1]) / 1024;
  const before = await memory();
  await vm.modify({ ResourcePath: "VirtualMachine/ComputeTopology/Memory/SizeInMB", Settings: 640 });
  let after = before;
  for (const deadline = Date.now() + 30_000; after < before + 100 && Date.now() < deadline; )
    after = await memory();
  t.ok(after >= before + 100, `from ${before} to ${after} MB`);
  t.equal((await vm.propertiesV2(["Memory"])).Memory?.VirtualMachineMemory.AssignedMemory, 640 * 2 ** 20);
  for (const size of [512, 650]) {
    const error = await rejection(
      vm.modify({ ResourcePath: "VirtualMachine/ComputeTopology/Memory/SizeInMB", Settings: size }),
    );
    t.ok(hcs.isNotSupported(error), error.message);
  }
  t.ok(hcs.isNotSupported(await rejection(vm.modify({ ResourcePath: "VirtualMachine/Devices/Battery" }))));

  stdin?.end("to the end\n");
  t.equal(stdout && (await text(stdout)), "to the end\n");
  t.equal(await init.wait(), 0);
  await container.wait();
  await vm.shutdown();
  await vm.wait();
  t.equal((await vm.properties()).ExitType, "GracefulExit");
});

test("what the QEMU driver cannot do is refused by name, before anything starts", async (t) => {
  const driver = new hcs.QemuDriver();
  const cases: [string, hcs.VirtualMachineDocument][] = [
    [
      "MaximumCount is 1",
      {
        Chipset,
        Devices: {
          VirtualPMem: { MaximumCount: 1, Devices: { "0": { HostPath: "/x" }, "1": { HostPath: "/y" } } },
        },
      },
    ],
    ["VirtualPMem", { Chipset, Devices: { VirtualPMem: { Devices: { "1": { HostPath: "/x" } } } } }],
    [
      "Vhd1",
      { Chipset, Devices: { VirtualPMem: { Devices: { "0": { HostPath: "/x", ImageFormat: "Vhdx" } } } } },
    ],
    ["Plan9", { Chipset, Devices: { Plan9: { Shares: [{ Name: "a", Path: "/x" }] } } }],
    ["ComPorts", { Chipset, Devices: { ComPorts: { "0": { NamedPipe: "/x" } } } }],
    ["Scsi.9", { Chipset, Devices: { Scsi: { "9": { Attachments: { "0": { Path: "/x" } } } } } }],
    ["LUN 40", { Chipset, Devices: { Scsi: { "0": { Attachments: { "40": { Path: "/x" } } } } } }],
    ["KernelCmdLine", { Chipset: { LinuxKernelDirect: { ...LinuxKernelDirect, KernelCmdLine: "a -- b" } } }],
  ];
  for (const [part, document] of cases) {
    t.throws(() => driver.check(document), { message: part }, part);
  }
  driver.check({ Chipset, Devices: { HvSocket: {}, Plan9: { Shares: [] } } });
  driver.check({});
});

test("a VM that dies", { timeout: 600_000 }, async (t) => {
  const service = new hcs.ComputeService({ driver: new hcs.QemuDriver() });
  t.teardown(() => service.close());
  const vm = await service.createComputeSystem("vm", { VirtualMachine: { Chipset } });
  await vm.start();
  const container = await runningContainer(service);
  const init = await container.createProcess({ CommandArgs: ["sleep", "1000"] });
  const waits = [init.wait(), container.wait(), vm.wait()].map(rejection);
  // The kernel's own way to go down at once.
  const crash = { CommandLine: "/bin/sh -c 'echo c > /proc/sysrq-trigger'" };
  await vm.createProcess(crash).catch(() => undefined);
  const [lost, gone, dead] = await Promise.all(waits);
  t.equal(hcs.codeOf(lost), hcs.ErrUnexpectedProcessAbort);
  t.equal(hcs.codeOf(gone), hcs.ErrUnexpectedProcessAbort);
  t.equal(hcs.codeOf(dead), hcs.ErrVmcomputeUnexpectedExit);
  t.match(dead?.message, /panic/i);
});
