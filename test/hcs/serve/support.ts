import { type ChildProcess, execFile, type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
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
    this.#environment = { ...process.env, LCOW_STATE_DIRECTORY: this.directory };
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
    const child = execFile(LCOW, [...args], {
      env: this.#environment,
      timeout: DEADLINE_MS,
      maxBuffer: 2 ** 28,
    });
    child.stdin?.end(input);
    return await resultOf(child);
  }

  /** The same, whose success goes without saying. */
  async ok(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.lcow(args);
    if (status !== 0) throw new Error(`lcow ${args.join(" ")} ended with ${status}: ${stderr}`);
    return stdout;
  }

  spawn(args: readonly string[], stdio: StdioOptions = "pipe"): ChildProcess {
    return spawn(LCOW, [...args], { env: this.#environment, stdio });
  }

  /** Runs a script in which `lcow` is ours; what it writes to descriptor 3 follows on standard output. */
  async shell(script: string): Promise<Result> {
    const path = `${dirname(LCOW)}:${this.#environment.PATH}`;
    const whole = `exec 3>$PWD/third; { ${script}\n}; status=$?; cat $PWD/third; exit $status`;
    const child = execFile("bash", ["-c", whole], {
      env: { ...this.#environment, PATH: path },
      cwd: this.directory,
      timeout: DEADLINE_MS,
      maxBuffer: 2 ** 28,
    });
    return await resultOf(child);
  }

  /** The service's process id. */
  get pid(): number {
    return this.#daemon?.pid ?? 0;
  }

  /** What the keepers have complained of. */
  keeperLogs(): string {
    const directory = `${this.directory}/k`;
    return readdirSync(directory)
      .map((name) => readFileSync(`${directory}/${name}/keeper.log`, "utf8"))
      .join("");
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

/** Waits for the end of a command. */
export async function resultOf(child: ChildProcess): Promise<Result> {
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

/** Waits until something is so. @throws when it does not become so */
export async function eventually(isSo: () => Promise<boolean> | boolean): Promise<void> {
  for (const deadline = Date.now() + DEADLINE_MS; ; ) {
    if (await isSo()) return;
    if (Date.now() > deadline) throw new Error(`it did not become so: ${isSo}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Resident memory of a process, bytes. */
export function memoryOf(pid: number): number {
  const [, kibibytes] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kibibytes) * 1024;
}

/** Whether a process runs, rather than waits for its parent to take note of its end. */
export function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
