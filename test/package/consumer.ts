/** A program that uses the package as its declarations tell: it only has to compile, in a project that is strict. */
import {
  AgentError,
  type ComputeSystemDocument,
  createComputeSystem,
  type ErrorCode,
  LocalDriver,
  QemuDriver,
  type System,
} from "lcow-gcs";
import {
  decodeRequest,
  encodeRequest,
  type MESSAGES,
  type MessageName,
  type RequestOf,
} from "lcow-gcs/protocol";
import {
  type Container,
  type ContainerState,
  OciRuntime,
  type OciRuntimeOptions,
  type Process,
  type StandardStreams,
  type Supervisor,
  standardStreams,
} from "lcow-gcs/runtime";

type Equal<One, Other> =
  (<T>() => T extends One ? 1 : 2) extends <T>() => T extends Other ? 1 : 2 ? true : false;
const holds = <Fact extends true>(): Fact => true as Fact;

// Types that a change would break for those who have written them down.
holds<Equal<Awaited<ReturnType<typeof createComputeSystem>>, System>>();
holds<Equal<Parameters<typeof createComputeSystem>[1], ComputeSystemDocument>>();
holds<Equal<ReturnType<Container["pause"]>, Promise<void>>>();
holds<Equal<ReturnType<Container["execProcess"]>, Promise<Process>>>();
holds<Equal<ReturnType<Process["wait"]>, Promise<number>>>();
holds<Equal<ContainerState["status"], "creating" | "created" | "running" | "paused" | "stopped">>();
holds<Equal<ConstructorParameters<typeof OciRuntime>[0], OciRuntimeOptions>>();
holds<Equal<ReturnType<typeof standardStreams>, StandardStreams>>();
holds<Equal<AgentError["code"], ErrorCode>>();
holds<Equal<keyof typeof MESSAGES, MessageName>>();

export async function systems(): Promise<number> {
  await using system = await createComputeSystem("a", { VirtualMachine: {} }, { driver: new QemuDriver() });
  await system.start();
  const process = await system.createProcess({ CommandLine: "true", CreateStdOutPipe: true });
  process.stdio().stdout?.pipe(globalThis.process.stdout);
  return await process.wait();
}

export async function containers(supervisor: Supervisor): Promise<string | undefined> {
  const runtime = new OciRuntime({ command: "runc", filesDirectory: "/run/mine", supervisor });
  const container = await runtime.createContainer("a", "/bundle");
  const streams = standardStreams();
  await container.start(streams.stdio);
  for (const { pid, command } of await container.getRunningProcesses()) console.log(pid, ...command);
  return (await runtime.listContainerStates())[0]?.status;
}

export const request: RequestOf<"Create"> = decodeRequest("Create", "{}");
export const text: string = encodeRequest("Create", request);
export const driver = (): LocalDriver => new LocalDriver();
export const code = (error: unknown): string => (error instanceof AgentError ? error.code : "");
// @ts-expect-error nothing else is open to import
export type Inner = typeof import("lcow-gcs/dist/src/hcs/index.js");
