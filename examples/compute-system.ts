// A virtual machine and a container in it by version 2's calls. It boots the image of `npm run image`:
// bin/node-pinned examples/compute-system.ts
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { createComputeSystem } from "lcow-gcs";

const vm = await createComputeSystem("example-vm", { Owner: "example", VirtualMachine: {} });
await vm.start();
try {
  const container = await createComputeSystem("example", {
    HostingSystemId: vm.id,
    HostedSystem: { Container: { GuestOs: { HostName: "example" }, Memory: { SizeInMB: 64 } } },
  });
  await container.start();
  const init = await container.createProcess({
    CommandArgs: ["/bin/sh"],
    EmulateConsole: true,
    ConsoleSize: [24, 80],
    CreateStdInPipe: true,
    CreateStdOutPipe: true,
  });
  const { stdin, stdout } = init.stdio();
  await container.pause();
  stdin?.write("echo typed while $(hostname) was paused\n");
  await container.resume();
  const { Statistics } = await container.properties(["Statistics"]);
  console.log("memory:", Number(Statistics?.Memory.MemoryUsageCommitBytes) > 0 ? "used" : "unknown");
  const exec = await container.createProcess({ CommandLine: "uname; exit 7", CreateStdOutPipe: true });
  console.log("exec:", (await text(exec.stdio().stdout ?? Readable.from([]))).trim(), await exec.wait());
  stdin?.write("exit\n");
  console.log(await text(stdout ?? Readable.from([])), await init.wait());
  await container.wait();
  await container.close();
} finally {
  await vm.terminate();
  await vm.close();
}
