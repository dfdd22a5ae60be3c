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
const process1 = await container.createProcess({ CommandLine: "uname -s; exit 7", CreateStdOutPipe: true });
console.log((await text(process1.stdio().stdout)).trim(), await process1.wait());
const { Statistics } = await container.properties(["Statistics"]);
console.log(JSON.stringify(Statistics).length > 20);
await container.terminate();
await container.close();
