import { withDeadline } from "../../common/deadline.ts";
import { AgentError } from "../../common/errors.ts";
import type { CallOptions, ProcessStdio } from "../compute/cow.ts";
import { ErrElementNotFound, ErrTimeout } from "../compute/error-codes.ts";
import { isError } from "../compute/errors.ts";
import type { Process as ComputeProcess } from "../compute/process.ts";
import { forProcess, ProcessError, processError } from "./errors.ts";

/** A process in a container; hcsshim's Process. Every method throws ProcessError. */
export class Process {
  /** In the utility VM's pid namespace. */
  readonly pid: number;
  readonly containerId: string;
  readonly #process: ComputeProcess;

  /** For Container.createProcess and Container.openProcess. */
  constructor(process: ComputeProcess) {
    this.#process = process;
    this.pid = process.pid;
    this.containerId = process.systemId;
  }

  /** Sends SIGKILL and does not wait for the end. @throws ProcessError ErrElementNotFound once it has exited */
  async kill(options: CallOptions = {}): Promise<void> {
    const delivered = await forProcess(this, () => this.#process.kill(options));
    if (!delivered) throw processError(this, "Kill", ErrElementNotFound);
  }

  /** Waits for the end: see exitCode. @throws ProcessError when how it ended will never be known */
  async wait(options: CallOptions = {}): Promise<void> {
    await forProcess(this, () => this.#process.wait(options));
  }

  /** @param timeoutMs milliseconds @throws ProcessError ErrTimeout while it still runs */
  async waitTimeout(timeoutMs: number, options: CallOptions = {}): Promise<void> {
    try {
      await withDeadline(this.wait(options), "the wait", { timeoutMs });
    } catch (thrown) {
      if (!isTimeLimit(thrown)) throw thrown;
      throw processError(this, "Wait", ErrTimeout);
    }
  }

  /** 0 to 255; 128+N when signal N ended it. @throws ProcessError ErrInvalidProcessState while it runs */
  async exitCode(): Promise<number> {
    return await forProcess(this, async () => this.#process.exitCode());
  }

  /** Sets the size of the process's terminal, in characters. */
  async resizeConsole(width: number, height: number, options: CallOptions = {}): Promise<void> {
    await forProcess(this, () => this.#process.resizeConsole(width, height, options));
  }

  /** Ends of the streams that were asked for: closing one does not close the stream, and more can be had. */
  async stdio(): Promise<ProcessStdio> {
    return await forProcess(this, async () => this.#process.stdioLegacy());
  }

  /** Gives the process its end of file. Fine once it has exited. */
  async closeStdin(options: CallOptions = {}): Promise<void> {
    await forProcess(this, () => this.#process.closeStdin(options));
  }

  /** Gives up the handle; the process runs on. Twice is fine. */
  async close(): Promise<void> {
    await forProcess(this, () => this.#process.close());
  }

  /** For `await using`: close(). */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Whether our own limit ran out, rather than something within the call. */
export function isTimeLimit(thrown: unknown): boolean {
  return thrown instanceof AgentError && !(thrown instanceof ProcessError) && isError(thrown, ErrTimeout);
}
