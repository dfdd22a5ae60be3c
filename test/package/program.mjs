// What a Node programmer writes first: a container without a virtual machine, and one in a machine where there is an image.
import { randomBytes } from "node:crypto";
import { text } from "node:stream/consumers";
import { createComputeSystem, LocalDriver } from "lcow-gcs";
import { MESSAGES } from "lcow-gcs/protocol";
import { OciRuntime } from "lcow-gcs/runtime";

const withMachine = process.argv[2] === "machine";
console.log(Object.keys(MESSAGES).length > 10, typeof OciRuntime);
const id = randomBytes(4).toString("hex");
const settings = withMachine ? {} : { driver: new LocalDriver() };
const container = await createComputeSystem(id, { VirtualMachine: {}, Container: {} }, settings);
await container.start();
const init = await container.createProcess({
  CommandLine: "read line; uname -s; exit 7",
  CreateStdInPipe: true,
  CreateStdOutPipe: true,
});
const { Statistics } = await container.properties(["Statistics"]);
console.log(JSON.stringify(Statistics).length > 20);
const { stdin, stdout } = init.stdio();
stdin.end("\n");
console.log((await text(stdout)).trim(), await init.wait());
await container.terminate();
await container.close();
