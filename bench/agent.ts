/** The agent under measurement, as a process of its own over Unix sockets, and its host. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { makeDirectory } from "./directory.ts";
import { Host } from "./host.ts";

const root = `${import.meta.dirname}/..`;
const END_DEADLINE_MS = 30_000;

/** The program and its leading arguments. */
export type AgentCommand = readonly [string, ...string[]];
export const sourceCommand: AgentCommand = [`${root}/bin/gcs`];

export interface AgentOptions {
  readonly command?: AgentCommand;
  /** Default: info. */
  readonly logLevel?: string;
  /** runc or crun; default runc. */
  readonly runtime?: string;
}

let count = 0;

export class Agent {
  readonly host: Host;
  /** Short; removed by stop(). */
  readonly directory: string;
  readonly #child: ChildProcess;
  readonly #cgroup: string;

  /** Starts it and negotiates. @throws Error with its log when it does not dial. */
  static async start(options: AgentOptions = {}): Promise<Agent> {
    const agent = new Agent(options);
    try {
      await agent.host.accept();
      return agent;
    } catch (cause) {
      const log = readFileSync(agent.#logFile, "utf8").slice(-2000);
      await agent.stop();
      throw new Error(`the agent did not get as far as negotiating; its log: ${log}`, { cause });
    }
  }

  private constructor({ command = sourceCommand, logLevel = "info", runtime = "runc" }: AgentOptions) {
    this.directory = makeDirectory();
    this.#cgroup = `/gcs-bench-${process.pid}-${count++}`;
    const prefix = `${this.directory}/s`;
    this.host = new Host(prefix);
    const [program, ...leading] = command;
    const log = openSync(this.#logFile, "w");
    mkdirSync(`${this.directory}/private`);
    const flags = [
      ...["-transport", `unix:${prefix}`, "-cgroup-parent", this.#cgroup, "-loglevel", logLevel],
      ...["-private-directory", `${this.directory}/private`, "-runtime-root", `${this.directory}/state`],
      // So that it ends, with its containers, however the bench does.
      ...["-log-format", "json", "-oci-runtime", runtime, "-exit-with-host"],
    ];
    this.#child = spawn(program, [...leading, ...flags], { stdio: ["ignore", "ignore", log] });
    closeSync(log);
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get #logFile(): string {
    return `${this.directory}/log`;
  }

  /** Ends it; it deletes its containers. Twice is no error. */
  async stop(): Promise<void> {
    this.host.close();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, "exit");
      const timer = setTimeout(() => this.#child.kill("SIGKILL"), END_DEADLINE_MS);
      this.#child.kill("SIGTERM");
      await exited.finally(() => clearTimeout(timer));
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Ends the agent whatever happens. */
export async function withAgent<Value>(
  options: AgentOptions,
  work: (agent: Agent) => Promise<Value>,
): Promise<Value> {
  const agent = await Agent.start(options);
  try {
    return await work(agent);
  } finally {
    await agent.stop();
  }
}
