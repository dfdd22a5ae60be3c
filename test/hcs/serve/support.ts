import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import type { Test } from "tap";

const LCOW = new URL("../../../bin/lcow", import.meta.url).pathname;
const DEADLINE_MS = 120_000;

export interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A service with a state directory of its own; at the end of the test it and all its keepers are ended. */
export class TestService {
  readonly directory = mkdtempSync(`${tmpdir()}/lcs-`);
  readonly #environment: NodeJS.ProcessEnv;
  #daemon: ChildProcess | undefined;

  constructor(t: Test) {
    // Without the hook that tap loads into every Node that a test starts.
    const { NODE_OPTIONS: _, ...environment } = process.env;
    this.#environment = { ...environment, LCOW_STATE_DIRECTORY: this.directory };
    t.teardown(() => this.#end());
  }

  get socket(): string {
    return `${this.directory}/socket`;
  }

  /** Starts it and waits until it serves. @returns its process id */
  async start(): Promise<number> {
    const daemon = spawn(LCOW, ["serve"], { env: this.#environment, stdio: ["ignore", "pipe", "inherit"] });
    this.#daemon = daemon;
    await once(daemon.stdout, "data");
    if (daemon.pid === undefined) throw new Error("lcow serve was not started");
    return daemon.pid;
  }

  /** @returns its exit code */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    const daemon = this.#daemon;
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return null;
    const exited = once(daemon, "exit");
    daemon.kill(signal);
    const [code] = (await exited) as [number | null];
    return code;
  }

  /** Runs a command of lcow to its end. */
  async lcow(args: readonly string[], input?: string): Promise<Result> {
    const child = execFile(LCOW, [...args], { env: this.#environment, timeout: DEADLINE_MS });
    child.stdin?.end(input);
    let [stdout, stderr] = ["", ""];
    child.stdout?.on("data", (text: string) => {
      stdout += text;
    });
    child.stderr?.on("data", (text: string) => {
      stderr += text;
    });
    const [code] = (await once(child, "close")) as [number | null];
    return { status: code ?? -1, stdout, stderr };
  }

  /** The same, whose success goes without saying. */
  async ok(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.lcow(args);
    if (status !== 0) throw new Error(`lcow ${args.join(" ")} ended with ${status}: ${stderr}`);
    return stdout;
  }

  spawn(args: readonly string[]): ChildProcess {
    return spawn(LCOW, [...args], { env: this.#environment });
  }

  /** Process ids of the keepers, by the directories in their command lines. */
  keepers(): number[] {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter(
        (pid) => commandLine(pid).includes(`${this.directory}/k/`) && commandLine(pid).includes("keeper.ts"),
      );
  }

  async #end(): Promise<void> {
    await this.stop();
    for (const pid of this.keepers()) process.kill(pid, "SIGTERM");
    for (const deadline = Date.now() + 60_000; this.keepers().length > 0 && Date.now() < deadline; ) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    for (const pid of this.keepers()) process.kill(pid, "SIGKILL");
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    // It has ended meanwhile.
    return "";
  }
}
