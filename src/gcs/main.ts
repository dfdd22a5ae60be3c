/** The agent: flags, wiring, the loop that dials the host again and again. */
import { openSync, writeSync } from "node:fs";
import { rm } from "node:fs/promises";
import { flushCompileCache } from "node:module";
import { startThreads } from "../../native/hvsock/index.ts";
import { AgentError, describeError } from "../common/errors.ts";
import { version } from "../common/version.ts";
import { exitNow, reboot, sync } from "../linux/libc.ts";
import { Supervisor } from "../linux/supervisor.ts";
import { BRIDGE_PORT } from "../protocol/messages.ts";
import { OciRuntime } from "../runtime/runc/runc.ts";
import { isUtilityVm, transportFromFlag } from "../stdio/transport-flag.ts";
import { detachBelow } from "../storage/detach-below.ts";
import { Bridge } from "./bridge/bridge.ts";
import type { ByteStream } from "./bridge/connection.ts";
import { type Flags, flagsHelp, parseFlags } from "./flags.ts";
import { setCoreDumpLocation } from "./services/core-dumps.ts";
import { LogStream } from "./services/log-stream.ts";
import { type AgentLogger, createLogger } from "./services/logger.ts";
import { guardMemory } from "./services/memory-guard.ts";
import { guardProcesses } from "./services/process-guard.ts";
import { socketStream, standardStream } from "./streams.ts";
import { Uvm } from "./uvm/uvm.ts";

/** How long the last log lines may take to leave. */
const LOG_DRAIN_MS = 1000;
/** A host whose end is to be the agent's own listens before it starts the agent; it may be gone by the dial. */
const FIRST_DIAL_MS = 2000;
/** A host that is not there yet is told of as often; dialled it is all the while. */
const DIAL_MS = 10_000;
const REFUSED_MS = 1000;
/** How long the end may take after a defect: containers are killed and deleted, the host and the log told. */
const DEFECT_END_MS = 20_000;
/** How long any other end may take: hundreds of containers are deleted. */
const END_MS = 60_000;
/** Exit statuses: the flags are wrong; the reader of standard output has gone; anything else. */
const USAGE_ERROR = 2;
const READER_GONE = 141;
const FAILED = 1;

/** Between the loss of a connection and the next dial, so that a host that hangs up at once is not hammered. */
const REDIAL_MS = 100;

/**
 * Once the log's last lines are written, or nobody has read them for a while. Not by process.exit(), which waits for threads
 * that sit in the kernel: in a write that nobody reads, in a mount that does not come.
 */
async function endProcess(log: Pick<AgentLogger, "drained">, exitCode: number): Promise<never> {
  await log.drained(LOG_DRAIN_MS);
  flushCompileCache();
  return await exitNow(exitCode);
}

/** The end before there is a log: one line, for a person. Where nobody reads it the exit status says it as well. */
async function giveUp(error: unknown, exitCode: number): Promise<never> {
  const stderr = new LogStream(2, () => "");
  stderr.write(`gcs: ${describeError(error)}\n`);
  return await endProcess(stderr, exitCode);
}

async function print(text: string): Promise<void> {
  try {
    writeSync(1, text);
  } catch (error) {
    process.exitCode = READER_GONE;
    if ((error as NodeJS.ErrnoException).code === "EPIPE") return;
    await giveUp(new Error("standard output could not be written", { cause: error }), FAILED);
  }
}

/** @throws AgentError naming the flag */
function openLog(flags: Flags): number {
  if (flags.logfile === "") return 2;
  try {
    return openSync(flags.logfile, "w", 0o600);
  } catch (cause) {
    throw new AgentError("INVALID_ARGUMENT", `flag -logfile: ${flags.logfile} cannot be written`, { cause });
  }
}

class Agent {
  readonly #flags: Flags;
  readonly #log: AgentLogger;
  readonly #uvm: Uvm;
  readonly #bridge: Bridge;
  readonly #transport;
  readonly #stop = new AbortController();
  #ending: Promise<never> | undefined;

  constructor(flags: Flags, log: AgentLogger) {
    this.#flags = flags;
    this.#log = log;
    this.#transport = transportFromFlag(flags.transport);
    const supervisor = new Supervisor();
    const runtime = new OciRuntime({
      command: flags["oci-runtime"],
      supervisor,
      log,
      filesDirectory: flags["private-directory"] ? `${flags["private-directory"]}/files` : "/run/gcs/runtime",
      ...(flags["runtime-root"] ? { stateRoot: flags["runtime-root"] } : {}),
    });
    const cgroupParent = flags["cgroup-parent"];
    this.#uvm = new Uvm({
      runtime,
      transport: this.#transport,
      supervisor,
      log,
      cgroupParent,
      allowHostSockets: flags["allow-host-sockets"],
      memoryReserveBytes: flags["root-mem-reserve-bytes"],
      privateDirectory: flags["private-directory"] || undefined,
    });
    this.#bridge = new Bridge({
      uvm: this.#uvm,
      log,
      scrubLogs: flags["scrub-logs"],
      onShutdown: (graceful) => void this.#powerOff(graceful),
    });
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.once(signal, () => void this.end(`received ${signal}`, 0));
    }
  }

  async run(): Promise<void> {
    // The host need not wait for it.
    this.#uvm.tellLeftovers().catch((error: unknown) => {
      this.#log.warn({ error: describeError(error) }, "what an earlier agent left could not be listed");
    });
    while (!this.#stop.signal.aborted) {
      const stream = await this.#connect();
      if (stream !== undefined) await this.#serve(stream);
      await new Promise((resolve) => setTimeout(resolve, REDIAL_MS));
    }
    await this.#ending;
  }

  async #serve(stream: ByteStream): Promise<void> {
    this.#log.info({}, "bridge connected, serving");
    const error = await this.#bridge.serve(stream);
    this.#log.warn(
      { error: error === undefined ? "closed by the host" : describeError(error) },
      "bridge connection lost",
    );
    if (this.#flags["exit-with-host"] || this.#flags["use-inouterr"]) await this.end("the host is gone", 0);
  }

  async #connect(): Promise<ByteStream | undefined> {
    if (this.#flags["use-inouterr"]) return standardStream();
    const start = performance.now();
    try {
      return socketStream(
        await this.#transport.dial(BRIDGE_PORT, {
          stream: "bridge",
          signal: this.#stop.signal,
          timeoutMs: this.#flags["exit-with-host"] ? FIRST_DIAL_MS : DIAL_MS,
        }),
      );
    } catch (error) {
      if (this.#stop.signal.aborted) return undefined;
      if (this.#flags["exit-with-host"]) await this.end(`there is no host: ${describeError(error)}`, 1);
      this.#log.warn({ error: describeError(error) }, "no host yet, dialling again");
      // What does not pass by itself (no permission, say) is told at once, and again and again.
      const isEarly = performance.now() - start < DIAL_MS / 2;
      if (isEarly) await new Promise((resolve) => setTimeout(resolve, REFUSED_MS));
      return undefined;
    }
  }

  /** Kills and deletes what runs, removes the private directory, and exits. */
  end(why: string, exitCode: number): Promise<never> {
    this.#ending ??= this.#end(why, exitCode);
    return this.#ending;
  }

  async #end(why: string, exitCode: number): Promise<never> {
    this.#log.info({ why }, "ending");
    setTimeout(() => {
      this.#log.error({ why }, `not all has ended within ${END_MS} ms; the agent ends all the same`);
      void endProcess(this.#log, FAILED);
    }, END_MS);
    this.#stop.abort();
    await this.#uvm.close();
    const directory = this.#flags["private-directory"];
    if (directory) {
      // What is behind a mount point belongs to somebody else, and what could not be unmounted must not stay.
      for (const failure of await detachBelow(directory)) {
        this.#log.error({ error: describeError(failure) }, "could not unmount");
      }
      await rm(directory, { recursive: true, force: true });
    }
    return await endProcess(this.#log, exitCode);
  }

  /** The machine goes down where this agent is a VM's; without a VM only the agent ends. */
  async #powerOff(graceful: boolean): Promise<void> {
    this.#log.info({ graceful }, "the host asked for the end of the utility VM");
    if (!isUtilityVm(this.#flags.transport)) await this.end("the host asked for it", 0);
    if (graceful) await this.#uvm.close();
    // A disk that does not take what is written does not keep the machine up.
    await sync().catch((error: unknown) => {
      this.#log.error({ error: describeError(error) }, "not everything is on the disks");
    });
    await reboot("powerOff");
  }
}

/** Without them the agent still serves; it could be the first to go when memory or threads run out. */
function guardMachine(flags: Flags, log: AgentLogger): void {
  const podsPath = flags["cgroup-parent"];
  const guards = {
    memory: () => guardMemory({ podsPath, reserveBytes: flags["root-mem-reserve-bytes"] }),
    processes: () => guardProcesses(podsPath),
  };
  for (const [what, guard] of Object.entries(guards)) {
    try {
      guard();
    } catch (error) {
      log.error({ error: describeError(error) }, `what the agent needs is not guarded: ${what}`);
    }
  }
}

/** While there is room for them: containers may take the rest. */
function prepareThreads(log: AgentLogger): void {
  try {
    startThreads();
  } catch (error) {
    log.error(
      { error: describeError(error) },
      "there is no room for the agent's threads: raise the limit of pids",
    );
  }
}

async function main(): Promise<void> {
  let flags: Flags;
  try {
    flags = parseFlags(process.argv.slice(2));
  } catch (error) {
    return await giveUp(error, USAGE_ERROR);
  }
  if (flags.help || flags.version) return await print(flags.help ? flagsHelp() : `gcs ${version}\n`);
  let fd: number;
  try {
    fd = openLog(flags);
  } catch (error) {
    return await giveUp(error, FAILED);
  }
  const log = createLogger({ level: flags.loglevel, format: flags["log-format"], fd });
  const fatal = async (error: unknown) => {
    log.fatal({ error: describeError(error) }, "gcs ends");
    await endProcess(log, FAILED);
  };
  let agent: Agent | undefined;
  const onDefect = (error: unknown, what: string) => {
    log.fatal({ err: error }, `${what}: the agent's state is unknown, so it ends`);
    // What is unknown may hang, too.
    setTimeout(() => void exitNow(FAILED), DEFECT_END_MS);
    if (agent === undefined) void fatal(error);
    else void agent.end("a defect", FAILED);
  };
  process.on("unhandledRejection", (error) => onDefect(error, "a promise was rejected and nobody looked"));
  process.on("uncaughtException", (error) => onDefect(error, "an error was thrown and nobody caught it"));
  try {
    if (!flags.v4)
      throw new AgentError("INVALID_ARGUMENT", "-v4=false: version 4 is the only protocol there is");
    if (flags["initial-policy-stance"] === "deny") {
      throw new AgentError(
        "NOT_SUPPORTED",
        "-initial-policy-stance deny: this agent enforces no security policy, and will not pretend to",
      );
    }
    // On a machine that is not the agent's own there is nothing for it to arrange.
    if (isUtilityVm(flags.transport)) guardMachine(flags, log);
    if (flags["core-dump-location"] !== "") setCoreDumpLocation(flags["core-dump-location"]);
    prepareThreads(log);
    log.info({ version, node: process.version, transport: flags.transport }, "GCS started");
    agent = new Agent(flags, log);
    await agent.run();
  } catch (error) {
    await fatal(error);
  }
}

void main();
