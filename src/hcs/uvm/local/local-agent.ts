import { type ChildProcess, spawn } from "node:child_process";
import { settlesWithin } from "../../../common/deadline.ts";
import { AgentError } from "../../../common/errors.ts";
import { programFile } from "../../../common/installation.ts";
import { nodeFlags } from "../../../common/node-flags.ts";
import { LoopHolder } from "../../transport/loop-holder.ts";
import { AgentOutput } from "../agent-output.ts";
import type { AgentTraces } from "./agent-traces.ts";

/** The log may be held open by what the agent started and left behind. */
const LAST_WORDS_TIMEOUT_MS = 200;

export interface LocalAgentOptions {
  /** trace, debug, info, warning, error or fatal. Default warning. */
  readonly logLevel?: string;
  /** Receives the agent's log as it comes; default: its last part is kept for errors. */
  readonly onLog?: (text: string) => void;
}

/** The agent as a child process, which ends when its host does. */
export class LocalAgent {
  /** Settles with the agent's last words when it ends before expectEnd(). */
  readonly died: Promise<AgentError>;
  readonly #child: ChildProcess;
  readonly #exited = Promise.withResolvers<true>();
  readonly #holder = new LoopHolder();
  readonly #output: AgentOutput;
  #isEndExpected = false;

  /** @param socketPrefix the host listens on `PREFIX_PORT` already. */
  constructor(socketPrefix: string, traces: AgentTraces, options: LocalAgentOptions) {
    const main = programFile("src/gcs/main");
    const flags = [
      `--transport=unix:${socketPrefix}`,
      "--exit-with-host",
      `--private-directory=${traces.directory}`,
      `--runtime-root=${traces.runtimeRoot}`,
      `--cgroup-parent=${traces.cgroupParent}`,
      `--oci-runtime=${traces.ociRuntime}`,
      `--loglevel=${options.logLevel ?? "warning"}`,
    ];
    // Its own session: a Ctrl-C at the terminal is for us to pass on, not for the agent.
    this.#child = spawn(process.execPath, [...nodeFlags, main, ...flags], {
      detached: true,
      stdio: ["ignore", "ignore", "pipe"],
      cwd: "/",
    });
    this.#holder.add(this.#child);
    if (this.#child.stderr !== null) this.#holder.add(this.#child.stderr);
    const output = new AgentOutput(this.#child.stderr, options.onLog);
    this.#output = output;
    const died = Promise.withResolvers<AgentError>();
    this.died = died.promise;
    const onEnd = (how: string, cause?: unknown) => {
      this.#exited.resolve(true);
      if (this.#isEndExpected) return;
      died.resolve(new AgentError("SPAWN_FAILED", `the agent ${how}${output.lastWords()}`, { cause }));
    };
    this.#child.once("error", (cause) => onEnd("could not be started", cause));
    this.#child.once("exit", (code, signal) => {
      void output.ended(LAST_WORDS_TIMEOUT_MS).then(() => {
        onEnd(signal === null ? `ended with status ${code}` : `was ended by ${signal}`);
      });
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The end of its log. */
  get log(): string {
    return this.#output.tail;
  }

  expectEnd(): void {
    this.#isEndExpected = true;
  }

  setKeepsLoopAlive(on: boolean): void {
    this.#holder.setKeepsLoopAlive(on);
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  async hasExitedWithin(timeoutMs: number): Promise<boolean> {
    return await settlesWithin(this.#exited.promise, timeoutMs);
  }
}
