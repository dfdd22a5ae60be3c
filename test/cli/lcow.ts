import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { type IPty, spawn as spawnPty } from "node-pty";

export const LCOW = join(import.meta.dirname, "../../bin/lcow");
const DEADLINE_MS = 60_000;

export interface Result {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Owner {
  teardown(undo: () => void): void;
}

/** A running lcow; killed at the end of the test at the latest, its agent then cleans up. */
export class Lcow {
  readonly child: ChildProcess;
  readonly #stdout: Buffer[] = [];
  readonly #stderr: Buffer[] = [];
  readonly #ended: Promise<unknown[]>;

  constructor(t: Owner, args: readonly string[], options: { env?: NodeJS.ProcessEnv } = {}) {
    this.child = spawn(LCOW, [...args], {
      env: { ...process.env, ...options.env },
      timeout: DEADLINE_MS,
      killSignal: "SIGKILL",
    });
    this.child.stdout?.on("data", (chunk: Buffer) => this.#stdout.push(chunk));
    this.child.stderr?.on("data", (chunk: Buffer) => this.#stderr.push(chunk));
    this.child.stdin?.on("error", () => undefined);
    this.#ended = once(this.child, "close");
    t.teardown(() => void this.child.kill("SIGKILL"));
  }

  get pid(): number {
    if (this.child.pid === undefined) throw new Error("lcow was not started");
    return this.child.pid;
  }

  get stderr(): string {
    return Buffer.concat(this.#stderr).toString();
  }

  /** Settles when standard output has come to include the text. */
  async shows(text: string): Promise<void> {
    const ended = this.#ended.then(() => true);
    while (!Buffer.concat(this.#stdout).toString().includes(text)) {
      const next = this.child.stdout === null ? ended : once(this.child.stdout, "data").then(() => false);
      if (await Promise.race([ended, next]))
        throw new Error(`lcow ended without showing ${text}: ${this.stderr}`);
    }
  }

  async result(): Promise<Result> {
    await this.#ended;
    const { exitCode: status, signalCode: signal } = this.child;
    return { status, signal, stdout: Buffer.concat(this.#stdout).toString(), stderr: this.stderr };
  }
}

/** Runs lcow to its end, with nothing on standard input. */
export async function lcow(
  t: Owner,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv } = {},
): Promise<Result> {
  const running = new Lcow(t, args, options);
  running.child.stdin?.end();
  return await running.result();
}

/** `lcow run --local ARGS...` */
export function run(t: Owner, ...args: string[]): Promise<Result> {
  return lcow(t, ["run", "--local", ...args]);
}

/** A command on a terminal of its own. */
export class OnTerminal {
  readonly pty: IPty;
  #text = "";
  readonly #wakers = new Set<() => void>();
  #status: number | undefined;

  constructor(t: Owner, command: string, args: readonly string[], size: { cols: number; rows: number }) {
    this.pty = spawnPty(command, [...args], { ...size, env: process.env as Record<string, string> });
    this.pty.onData((text) => {
      this.#text += text;
      for (const wake of this.#wakers) wake();
    });
    this.pty.onExit(({ exitCode }) => {
      this.#status = exitCode;
      for (const wake of this.#wakers) wake();
    });
    const deadline = setTimeout(() => this.pty.kill("SIGKILL"), DEADLINE_MS);
    t.teardown(() => {
      clearTimeout(deadline);
      if (this.#status === undefined) this.pty.kill("SIGKILL");
    });
  }

  get text(): string {
    return this.#text;
  }

  async shows(text: string): Promise<void> {
    await this.#until(() => this.#text.includes(text) || this.#status !== undefined);
    if (!this.#text.includes(text)) throw new Error(`ended without showing ${text}: ${this.#text}`);
  }

  /** The exit status. */
  async end(): Promise<number> {
    await this.#until(() => this.#status !== undefined);
    return this.#status ?? -1;
  }

  async #until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#wakers.delete(wake);
          resolve();
        };
        this.#wakers.add(wake);
      });
    }
  }
}

export const NOBODY = 65534;
/**
 * For setpriv: somebody who is not root, and may enter and read any directory all the same, as the project may lie in one
 * that only root enters: /root, above all.
 */
export const AS_NOBODY = [
  ...[`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"],
  ...["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"],
];
