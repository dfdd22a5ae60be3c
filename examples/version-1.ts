// A container with its virtual machine by version 1's calls. It boots the image of `npm run image`:
// bin/node-pinned examples/version-1.ts
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { isPending, v1 } from "lcow-gcs";

const container = await v1.createContainer("example-v1", { ContainerType: "Linux", HostName: "example" });
await container.start();
const init = await container.createProcess({
  CommandArgs: ["/bin/sh"],
  EmulateConsole: true,
  ConsoleSize: [24, 80],
  CreateStdInPipe: true,
  CreateStdOutPipe: true,
});
const { stdin, stdout } = await init.stdio();
await container.pause();
stdin?.write("echo typed while $(hostname) was paused\n");
await container.resume();
const { Memory } = await container.statistics();
console.log("memory:", Number(Memory.MemoryUsageCommitBytes) > 0 ? "used" : "unknown");
const exec = await container.createProcess({ CommandLine: "uname; exit 7", CreateStdOutPipe: true });
const output = await text((await exec.stdio()).stdout ?? Readable.from([]));
await exec.wait();
console.log("exec:", output.trim(), await exec.exitCode());
stdin?.write("sleep 1000\n");
await container.shutdown().catch((error: unknown) => {
  if (!isPending(error)) throw error;
});
await container.waitTimeout(500).catch(() => container.terminate().catch(() => undefined));
console.log(await text(stdout ?? Readable.from([])));
await container.wait();
await container.close();
