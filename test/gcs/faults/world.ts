/**
 * One agent that many faults are done to. A container runs in it all the while, with a process that answers on its
 * streams: after each fault it must still, nothing of what failed may be left, and the next life must work.
 */
import { readdirSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { Test } from "tap";
import type { MessageName } from "../../../src/protocol/messages.ts";
import type { Agent } from "../../helpers/agent.ts";
import type { BundleOptions } from "../../helpers/bundle.ts";
import { createBody, execParameters, executeBody, runSleeper } from "../../helpers/gcs-requests.ts";
import { startGuest } from "../../helpers/guest.ts";
import type { RawHost } from "../../helpers/raw-host.ts";
import { cgroupsOf, childrenOf, mountsOf } from "../../soak/census.ts";
import { Stdio } from "../../soak/stdio.ts";

export type Reply = Record<string, unknown>;

const FOREVER = 0xffffffff;
const FIRST_PORT = 0x51000000;
const SLEEP = ["/bin/sleep", "1000"] as const;
/** What a failure leaves behind may be cleared away after its reply; the kernel tells nobody when it is gone. */
const CLEAR_MS = 20_000;
const CHECK_MS = 20;

export class FaultWorld {
  readonly agent: Agent;
  readonly host: RawHost;
  readonly #echo: Stdio;
  #before: object;
  #count = 0;

  /** @param flags beside those of the agent of any test */
  static async start(t: Pick<Test, "teardown">, flags: readonly string[] = []): Promise<FaultWorld> {
    const { agent, host } = await startGuest(t, ["--loglevel", "info", ...flags]);
    await host.negotiate();
    await runSleeper(host, "bystander", `${agent.directory}/c/bystander`);
    const echo = await Stdio.listen(host, FIRST_PORT, ["StdIn", "StdOut"]);
    const parameters = execParameters(["/bin/cat"], echo.wanted);
    await ok(host.request("ExecuteProcess", executeBody("bystander", parameters, echo.ports)));
    const world = new FaultWorld(agent, host, echo);
    // What is made at first use is there before anything is counted.
    await world.life("first");
    await world.#checkBystander();
    world.#before = world.#belongings();
    return world;
  }

  private constructor(agent: Agent, host: RawHost, echo: Stdio) {
    this.agent = agent;
    this.host = host;
    this.#echo = echo;
    this.#before = this.#belongings();
  }

  request(name: MessageName, body: object): Promise<Reply> {
    return this.host.request(name, body);
  }

  bundle(id: string): string {
    return `${this.agent.directory}/c/${id}`;
  }

  create(id: string, options: BundleOptions = { args: SLEEP }): Promise<Reply> {
    return this.request("Create", createBody(id, this.bundle(id), options));
  }

  start(id: string): Promise<Reply> {
    return this.request("ExecuteProcess", executeBody(id));
  }

  exec(id: string, args: readonly string[] = SLEEP): Promise<Reply> {
    return this.request("ExecuteProcess", executeBody(id, execParameters(args)));
  }

  wait(id: string, pid: unknown): Promise<Reply> {
    return this.request("WaitForProcess", { ContainerId: id, ProcessId: pid, TimeoutInMs: FOREVER });
  }

  delete(id: string): Promise<Reply> {
    return this.request("DeleteContainerState", { ContainerId: id });
  }

  /** Of a container that ended while it ran, or that could not be started. */
  exitOf(id: string): Promise<unknown> {
    return this.host.take(
      ({ body }) => body.Type !== undefined && body.ContainerId === id,
      `the end of ${id}`,
    );
  }

  /** Kills and deletes one that runs. */
  async end(id: string): Promise<void> {
    await ok(this.request("ShutdownForced", { ContainerId: id }));
    await this.exitOf(id);
    await ok(this.delete(id));
  }

  /** A container that runs: all of its life. */
  async life(id: string): Promise<void> {
    const code = ++this.#count % 100;
    await ok(this.create(id, { args: ["/bin/sh", "-c", `exit ${code}`] }));
    const { ProcessId } = await ok(this.start(id));
    const { ExitCode } = await ok(this.wait(id, ProcessId));
    if (ExitCode !== code) throw new Error(`exit code ${ExitCode} instead of ${code}`);
    await this.exitOf(id);
    await ok(this.delete(id));
  }

  /** What is promised of any fault, once what it hit is no longer there. @param id of the container that failed */
  async checkUnharmed(t: Test, id: string): Promise<void> {
    await this.checkNothingLeft(t);
    await this.#checkBystander();
    await this.life(id);
    await this.checkNothingLeft(t);
  }

  async checkNothingLeft(t: Test): Promise<void> {
    await this.#settled();
    t.same(this.#belongings(), this.#before, "nothing of it is left");
  }

  async #settled(): Promise<void> {
    for (const until = Date.now() + CLEAR_MS; Date.now() < until; await delay(CHECK_MS))
      if (isDeepStrictEqual(this.#belongings(), this.#before)) return;
  }

  async #checkBystander(): Promise<void> {
    const line = `line ${++this.#count}\n`;
    const seen = this.#echo.until(line);
    await this.#echo.type(line);
    await seen;
    const { ProcessId } = await ok(this.exec("bystander", ["/bin/true"]));
    const { ExitCode } = await ok(this.wait("bystander", ProcessId));
    if (ExitCode !== 0) throw new Error(`what is executed in the bystander exits with ${ExitCode}`);
  }

  /** Everything that a container or a process could leave behind, by name. */
  #belongings(): object {
    const { agent } = this;
    return {
      descriptors: agent.fdCount(),
      children: childrenOf(agent.pid).toSorted(),
      cgroups: cgroupsOf(agent.cgroupParent).toSorted(),
      mounts: mountsOf(agent.pid, agent.directory).toSorted(),
      files: readdirSync(agent.directory, { recursive: true }).map(String).toSorted(),
    };
  }
}

/** @throws Error with what the agent said when it refused */
export async function ok(reply: Promise<Reply>): Promise<Reply> {
  const body = await reply;
  if (body.Result !== 0) throw new Error(JSON.stringify(body));
  return body;
}
