import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import type { Test } from "tap";
import { detectCgroupLayout } from "../../../src/linux/cgroups/layout.ts";
import type { Supervisor } from "../../../src/linux/supervisor.ts";
import type { RuncContainer } from "../../../src/runtime/runc/container.ts";
import { OciRuntime } from "../../../src/runtime/runc/runc.ts";
import { type BundleOptions, writeBundle } from "../../helpers/bundle.ts";
import { type HostStdio, hostStdio } from "../../helpers/host-stdio.ts";

/** One test's runtime with state, files and cgroups of its own, and the check that nothing is left of it. */
export class RuntimeContext {
  readonly command: string;
  readonly supervisor: Supervisor;
  readonly directory = mkdtempSync(`${tmpdir()}/rt-`);
  readonly filesDirectory = `${this.directory}/files`;
  readonly stateRoot = `${this.directory}/state`;
  readonly cgroupParent = `/lcow-test-${process.pid}-${++contexts}`;
  readonly warnings: unknown[] = [];
  readonly runtime: OciRuntime;
  readonly #fdsBefore = openFds();
  readonly #containers = new Set<RuncContainer>();
  readonly #hosts: HostStdio[] = [];
  #bundles = 0;

  constructor(command: string, supervisor: Supervisor) {
    this.command = command;
    this.supervisor = supervisor;
    this.runtime = this.newRuntime(command);
  }

  /** A second runtime over the same state. */
  newRuntime(command: string, deadlineMs = 60_000, filesDirectory = this.filesDirectory): OciRuntime {
    const { stateRoot, supervisor } = this;
    const log = { warn: (fields: object, message: string) => this.warnings.push(message, fields) };
    return new OciRuntime({ command, filesDirectory, stateRoot, supervisor, deadlineMs, log });
  }

  /** @returns the path of a new bundle, its cgroup below cgroupParent. */
  bundle(options: BundleOptions = {}): string {
    const name = `b${++this.#bundles}`;
    return writeBundle(`${this.directory}/${name}`, {
      cgroupsPath: `${this.cgroupParent}/${name}`,
      ...options,
    });
  }

  async create(id: string, options: BundleOptions = {}): Promise<RuncContainer> {
    const container = await this.runtime.createContainer(id, this.bundle(options));
    this.#containers.add(container);
    return container;
  }

  /** Creates and starts one with its stdio at a host. */
  async run(id: string, options: BundleOptions): Promise<{ container: RuncContainer; host: HostStdio }> {
    const container = await this.create(id, options);
    const host = this.host();
    await container.start(host.set);
    return { container, host };
  }

  host(): HostStdio {
    const host = hostStdio();
    this.#hosts.push(host);
    return host;
  }

  /** Cgroup directories below cgroupParent, in all hierarchies. */
  cgroups(): string[] {
    return detectCgroupLayout().mounts.flatMap(({ mountPoint }) => {
      const parent = mountPoint + this.cgroupParent;
      if (!existsSync(parent)) return [];
      return readdirSync(parent, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => `${parent}/${name}`);
    });
  }

  files(): string[] {
    return existsSync(this.filesDirectory) ? readdirSync(this.filesDirectory) : [];
  }

  /** Fails the test if anything is left: containers, processes, cgroups, files, descriptors. */
  async close(t: Test): Promise<void> {
    for (const container of this.#containers)
      if (await container.exists()) await container.delete({ force: true });
    for (const host of this.#hosts) host.close();
    t.same(await this.runtime.listContainerStates(), [], "no container is left");
    t.same(this.supervisor.pids(), [], "no process is left");
    t.same(this.cgroups(), [], "no cgroup is left");
    t.same(this.files(), [], "no file is left");
    t.same(this.warnings, [], "nothing went wrong in the background");
    t.equal(openFds(), this.#fdsBefore, "no descriptor is left");
    this.removeTraces();
  }

  removeTraces(): void {
    for (const host of this.#hosts) host.close();
    for (const { mountPoint } of detectCgroupLayout().mounts)
      if (existsSync(mountPoint + this.cgroupParent)) rmdirSync(mountPoint + this.cgroupParent);
    rmSync(this.directory, { recursive: true });
  }
}

let contexts = 0;

/** What is made once per process, at the first use, is no leak. */
export async function warmUp(command: string, supervisor: Supervisor): Promise<void> {
  const context = new RuntimeContext(command, supervisor);
  const { container } = await context.run("warm", { args: ["/bin/true"] });
  await container.getInitProcess().wait();
  await container.delete();
  context.removeTraces();
}

export function openFds(): number {
  return readdirSync("/proc/self/fd").length;
}

/** A killed process is gone a moment after the signal. @throws Error after 10 s. */
export async function untilGone(pid: number): Promise<void> {
  for (const deadline = Date.now() + 10_000; processExists(pid); await delay(5)) {
    if (Date.now() > deadline) throw new Error(`process ${pid} is still there`);
  }
}

export function processExists(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}

/** A process of a busybox container. */
export function shell(script: string): {
  args: string[];
  env: string[];
  cwd: string;
  user: { uid: number; gid: number };
} {
  return { args: ["/bin/sh", "-c", script], env: ["PATH=/bin"], cwd: "/", user: { uid: 0, gid: 0 } };
}

export type Member = (t: Test, context: RuntimeContext) => Promise<void>;
