/** Containers of the benchmarks: the same spec, run through the agent and by the runtime alone. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import type { OciSpec } from "../src/protocol/schemas/oci.ts";
import { ociSpec } from "../test/helpers/bundle.ts";
import type { Agent } from "./agent.ts";
import { run } from "./command.ts";
import type { Host } from "./host.ts";
import { rawCgroup } from "./world.ts";

export const HELLO = "hello";
export const echoCommand = ["/bin/echo", HELLO];
export const sleepCommand = ["/bin/sleep", "100000"];

export interface ContainerOptions {
  readonly args: readonly string[];
  readonly rootfs: string;
}

let count = 0;
export const nextId = (): string => `bench-${process.pid}-${count++}`;

const never = 0xffffffff;

/** Creates a container and waits for the reply. */
export async function create(agent: Agent, id: string, options: ContainerOptions): Promise<void> {
  await agent.host.request("Create", {
    ContainerId: id,
    ContainerConfig: {
      SchemaVersion: { Major: 2, Minor: 1 },
      OciBundlePath: `${agent.directory}/c/${id}`,
      OciSpecification: ociSpec(options) as unknown as OciSpec,
    },
  });
}

/** Runs a container's init with nobody at its stdio. @returns its pid. */
export async function startSilently(host: Host, id: string): Promise<number> {
  const reply = await host.request("ExecuteProcess", {
    ContainerId: id,
    Settings: { ProcessParameters: {} },
  });
  return reply.ProcessId;
}

/** Executes a process with stdout on a port of the host; waits for its end and for the end of its output. */
export async function outputOf(host: Host, id: string, args?: readonly string[]): Promise<string> {
  const stdout = host.stream();
  const [text] = await Promise.all([
    stdout.text(),
    host
      .request("ExecuteProcess", {
        ContainerId: id,
        Settings: {
          ProcessParameters: {
            CreateStdOutPipe: true,
            ...(args === undefined ? {} : { OciProcess: processOf(args) }),
          },
          VsockStdioRelaySettings: { StdOut: stdout.port },
        },
      })
      .then(({ ProcessId }) => wait(host, id, ProcessId)),
  ]);
  return text;
}

export async function wait(host: Host, id: string, pid: number): Promise<void> {
  const { ExitCode } = await host.request("WaitForProcess", {
    ContainerId: id,
    ProcessId: pid,
    TimeoutInMs: never,
  });
  if (ExitCode !== 0) throw new Error(`process ${pid} of ${id} ended with ${ExitCode}`);
}

export const remove = (host: Host, id: string) => host.request("DeleteContainerState", { ContainerId: id });

/** create, start, wait, delete. */
export async function life(agent: Agent, rootfs: string): Promise<void> {
  const id = nextId();
  await create(agent, id, { args: echoCommand, rootfs });
  await agent.host.request("Start", { ContainerId: id });
  expectHello(await outputOf(agent.host, id));
  await remove(agent.host, id);
}

export async function exec(agent: Agent, id: string): Promise<void> {
  expectHello(await outputOf(agent.host, id, echoCommand));
}

export async function sleeper(agent: Agent, rootfs: string): Promise<string> {
  const id = nextId();
  await create(agent, id, { args: sleepCommand, rootfs });
  await startSilently(agent.host, id);
  return id;
}

export function processOf(args: readonly string[]) {
  const capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETUID", "CAP_SETGID"];
  return {
    args: [...args],
    cwd: "/",
    env: ["PATH=/bin", "TERM=xterm"],
    user: { uid: 0, gid: 0 },
    noNewPrivileges: true,
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
  };
}

/** The runtime alone, with bundles written beforehand: the floor. */
export class RawRuntime {
  readonly #program: string;
  readonly #directory: string;

  constructor(program: string, directory: string) {
    this.#program = program;
    this.#directory = `${directory}/${program}`;
    mkdirSync(`${this.#directory}/state`, { recursive: true });
  }

  /** A bundle as the agent would write it: with the files under /etc, and a cgroup of the container's own. */
  bundle(id: string, options: ContainerOptions): string {
    const path = `${this.#directory}/${id}`;
    mkdirSync(path, { recursive: true });
    const spec = ociSpec({ ...options, cgroupsPath: `${rawCgroup}/${id}` });
    const files = ["hostname", "hosts", "resolv.conf"];
    for (const file of files) writeFileSync(`${path}/${file}`, "localhost\n");
    const mounts = files.map((file) => ({
      destination: `/etc/${file}`,
      type: "bind",
      source: `${path}/${file}`,
      options: ["bind"],
    }));
    const config = { ...spec, mounts: [...(spec.mounts as object[]), ...mounts] };
    writeFileSync(`${path}/config.json`, JSON.stringify(config));
    return path;
  }

  /** `runc run`: create, start, wait and delete in one. */
  async life(bundle: string, id: string): Promise<void> {
    expectHello((await this.call("run", "--bundle", bundle, id)).stdout);
  }

  /** @param processFile of an OCI process. */
  async exec(id: string, processFile: string): Promise<void> {
    expectHello((await this.call("exec", "--process", processFile, id)).stdout);
  }

  async startSleeper(rootfs: string): Promise<string> {
    const id = nextId();
    const bundle = this.bundle(id, { args: sleepCommand, rootfs });
    // No pipes: the container would hold them open.
    await run(this.#program, [...this.#root, "run", "--detach", "--bundle", bundle, id], "ignore");
    return id;
  }

  async delete(id: string): Promise<void> {
    await this.call("delete", "--force", id);
  }

  call(...args: string[]) {
    return run(this.#program, [...this.#root, ...args]);
  }

  writeProcess(args: readonly string[]): string {
    const path = `${this.#directory}/process.json`;
    writeFileSync(path, JSON.stringify(processOf(args)));
    return path;
  }

  close(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  get #root(): string[] {
    return ["--root", `${this.#directory}/state`];
  }
}

function expectHello(text: string): void {
  if (text !== `${HELLO}\n`) throw new Error(`the container said ${JSON.stringify(text)}`);
}
