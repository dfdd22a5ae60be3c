/** What a host asks of an agent all day: containers' whole lives, processes, terminals, changes, and lost connections. */
import { mkdirSync } from "node:fs";
import { type MessageName, requestTypeOf } from "../../src/protocol/messages.ts";
import { createBody, execParameters, executeBody, runSleeper, UVM } from "../helpers/gcs-requests.ts";
import type { Guest } from "../helpers/guest.ts";
import { Stdio, type StreamName } from "./stdio.ts";

const FOREVER = 0xffffffff;
const CODES = 100;
const FIRST_PORT = 0x50000000;
const MOST_STREAMS = 3;
/** Far above those that the raw host gives its requests. */
const FIRST_WAIT = 1_000_000_000n;
const KILLED = 137;

export class Work {
  readonly #guest: Guest;
  readonly #directory: string;
  #count = 0;

  constructor(guest: Guest) {
    this.#guest = guest;
    this.#directory = `${guest.agent.directory}/c`;
  }

  /** Negotiates, and starts two containers that stay: one for execs, one to be changed. @returns their inits' pids */
  async begin(): Promise<number[]> {
    const { host } = this.#guest;
    await host.negotiate();
    const pids: number[] = [];
    for (const id of ["keeper", "changed"]) pids.push(await runSleeper(host, id, `${this.#directory}/${id}`));
    for (const layer of ["layer1", "layer2"]) mkdirSync(`${this.#directory}/${layer}`);
    return pids;
  }

  /** A container from Create to DeleteContainerState, with its output and its exit code. */
  async life(): Promise<void> {
    const index = ++this.#count;
    const code = index % CODES;
    const script = `echo out ${code}; echo err ${code} >&2; exit ${code}`;
    const stdio = await this.#listen(index, ["StdOut", "StdErr"]);
    await this.#live(index, { args: ["/bin/sh", "-c", script] }, stdio, code);
    same(await stdio.text("StdOut"), `out ${code}\n`);
    same(await stdio.text("StdErr"), `err ${code}\n`);
    await stdio.close();
  }

  /** A further process in a container, which gets a line and says it. */
  async exec(): Promise<void> {
    const index = ++this.#count;
    const code = index % CODES;
    const stdio = await this.#listen(index, ["StdIn", "StdOut"]);
    const args = ["/bin/sh", "-c", `read line; echo "$line"; exit ${code}`];
    const pid = await this.#execute("keeper", execParameters(args, stdio.wanted), stdio);
    await stdio.type(`line ${code}\n`);
    await this.#finish("keeper", pid, code);
    same(await stdio.text("StdOut"), `line ${code}\n`);
    await stdio.close();
  }

  /** A process of the utility VM itself. */
  async vmProcess(): Promise<void> {
    const index = ++this.#count;
    const code = index % CODES;
    const stdio = await this.#listen(index, ["StdOut"]);
    const args = ["/bin/sh", "-c", `echo ${code}; exit ${code}`];
    const pid = await this.#execute(UVM, { CommandArgs: args, ...stdio.wanted }, stdio);
    await this.#finish(UVM, pid, code);
    same(await stdio.text("StdOut"), `${code}\n`);
    await stdio.close();
  }

  /** A terminal that is resized and typed on: of a further process, of the utility VM's, of a container's first, in turns. */
  async terminal(): Promise<void> {
    const index = ++this.#count;
    const code = index % CODES;
    const stdio = await this.#listen(index, ["StdIn", "StdOut"]);
    const args = ["/bin/sh", "-c", `read line; stty size; exit ${code}`];
    const use = async (id: string, pid: number) => {
      await this.#ask("ResizeConsole", { ContainerId: id, ProcessId: pid, Height: 30, Width: 100 });
      await stdio.type("go\n");
    };
    if (index % 3 === 0) await this.#live(index, { args, terminal: true }, stdio, code, use);
    else {
      const id = index % 3 === 1 ? "keeper" : UVM;
      const process = { args, cwd: "/", env: ["PATH=/bin"], user: { uid: 0, gid: 0 }, terminal: true };
      const what = id === UVM ? { CommandArgs: args } : { OciProcess: process };
      const pid = await this.#execute(id, { ...what, EmulateConsole: true, ...stdio.wanted }, stdio);
      await use(id, pid);
      await this.#finish(id, pid, code);
    }
    same(await stdio.text("StdOut"), "go\r\n30 100\r\n");
    await stdio.close();
  }

  /** A container's limits and its freezing, and layers that are mounted and unmounted. */
  async modification(): Promise<void> {
    const index = ++this.#count;
    const change = (ContainerId: string, RequestType: string, ResourceType: string, Settings: object) =>
      this.#ask("ModifySettings", { ContainerId, Request: { ResourceType, RequestType, Settings } });
    await change("changed", "Update", "ContainerConstraints", {
      Linux: { cpu: { shares: 512 + (index % 512) } },
    });
    await change("changed", "Update", "ContainerExecutionState", { State: "Paused" });
    await change("changed", "Update", "ContainerExecutionState", { State: "Running" });
    // Below what is the agent's own it may mount.
    const ContainerRootPath = `${this.#guest.agent.directory}/private/union-${index}/rootfs`;
    const Layers = ["layer1", "layer2"].map((name) => ({ Id: name, Path: `${this.#directory}/${name}` }));
    await change(UVM, "Add", "CombinedLayers", { ContainerRootPath, Layers });
    await change(UVM, "Remove", "CombinedLayers", { ContainerRootPath });
    const Query = JSON.stringify({ PropertyTypes: ["Statistics", "ProcessList"] });
    await this.#ask("GetProperties", { ContainerId: "changed", Query });
  }

  /**
   * The connection breaks while a process is waited for, which ends meanwhile: its code comes over the next. With nothing
   * else at once, as requests that are on their way would be lost.
   */
  async reconnect(): Promise<void> {
    const { host } = this.#guest;
    const pid = await this.#execute("keeper", execParameters(["/bin/sleep", "1000"]));
    const id = FIRST_WAIT + 2n * BigInt(++this.#count);
    const wait = { ContainerId: "keeper", ProcessId: pid, TimeoutInMs: FOREVER };
    host.send(requestTypeOf("WaitForProcess"), id, wait);
    // Behind it: once this is answered, the wait has been read.
    const signal = { ContainerId: "keeper", ProcessId: pid, Options: { Signal: 18 } };
    host.send(requestTypeOf("SignalProcess"), id + 1n, signal);
    await host.reply("SignalProcess", id + 1n);
    host.bridge.destroy();
    process.kill(pid, "SIGKILL");
    await host.accept();
    // Above all of before: it is the same host.
    const version = { ContainerId: "", MinimumVersion: 4, MaximumVersion: 4 };
    host.send(requestTypeOf("NegotiateProtocol"), id + 2n, version);
    await host.reply("NegotiateProtocol", id + 2n);
    same((await host.reply("WaitForProcess", id)).body.ExitCode, KILLED);
  }

  async #live(
    index: number,
    options: { args: readonly string[]; terminal?: boolean },
    stdio: Stdio,
    code: number,
    use?: (id: string, pid: number) => Promise<void>,
  ): Promise<void> {
    const id = `c${index}`;
    await this.#ask("Create", createBody(id, `${this.#directory}/${id}`, options));
    const pid = await this.#execute(id, stdio.wanted, stdio);
    await use?.(id, pid);
    await this.#finish(id, pid, code);
    const { host } = this.#guest;
    await host.take(({ body }) => body.Type !== undefined && body.ContainerId === id, `the end of ${id}`);
    await this.#ask("DeleteContainerState", { ContainerId: id });
  }

  #listen(index: number, names: readonly StreamName[]): Promise<Stdio> {
    return Stdio.listen(this.#guest.host, FIRST_PORT + index * MOST_STREAMS, names);
  }

  async #ask(name: MessageName, body: object): Promise<Record<string, unknown>> {
    const reply = await this.#guest.host.request(name, body);
    if (reply.Result !== 0) throw new Error(`${name} ${JSON.stringify(body)}: ${JSON.stringify(reply)}`);
    return reply;
  }

  /** @returns the process's pid */
  async #execute(id: string, parameters: Record<string, unknown>, stdio?: Stdio): Promise<number> {
    const { ProcessId } = await this.#ask("ExecuteProcess", executeBody(id, parameters, stdio?.ports));
    return Number(ProcessId);
  }

  async #finish(containerId: string, pid: number, code: number): Promise<void> {
    const wait = { ContainerId: containerId, ProcessId: pid, TimeoutInMs: FOREVER };
    same((await this.#ask("WaitForProcess", wait)).ExitCode, code);
  }
}

function same(is: unknown, expected: unknown): void {
  if (is !== expected) throw new Error(`${JSON.stringify(is)} instead of ${JSON.stringify(expected)}`);
}
