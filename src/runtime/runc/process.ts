import { AgentError } from "../../common/errors.ts";
import { exitCodeOf, type SupervisedProcess } from "../../linux/supervisor.ts";
import type { ConnectionSet } from "../../stdio/connection-set.ts";
import type { PipeRelay } from "../../stdio/pipe-relay.ts";
import type { TtyRelay } from "../../stdio/tty-relay.ts";
import type { Process } from "../runtime.ts";

export interface RuncProcessOptions {
  readonly process: SupervisedProcess;
  readonly tty?: TtyRelay | undefined;
  readonly pipeRelay?: PipeRelay | undefined;
  /** Run once it has exited, before its output is drained. */
  readonly onExit?: () => Promise<void>;
  /** Told what went wrong between the exit and the end of the output, which changes nothing of how it ended. */
  readonly onError: (what: string, cause: unknown) => void;
  /** Run by the first delete(). */
  readonly onDelete?: () => void;
}

/** Init of a container, or a process that exec brought into it. */
export class RuncProcess implements Process {
  readonly pid: number;
  readonly exited: Promise<number>;
  readonly tty: TtyRelay | undefined;
  readonly pipeRelay: PipeRelay | undefined;
  readonly #process: SupervisedProcess;
  readonly #drained: Promise<number>;
  readonly #onDelete: (() => void) | undefined;
  readonly #onError: RuncProcessOptions["onError"];
  #deleted: Promise<void> | undefined;

  constructor(options: RuncProcessOptions) {
    this.#process = options.process;
    this.pid = options.process.pid;
    this.tty = options.tty;
    this.pipeRelay = options.pipeRelay;
    this.#onDelete = options.onDelete;
    this.#onError = options.onError;
    this.exited = options.process.exited.then(exitCodeOf);
    this.#drained = this.#drain(options);
  }

  get hasExited(): boolean {
    return this.#process.hasExited;
  }

  /** @throws AgentError INVALID_STATE as TtyRelay.start() and PipeRelay.start() */
  startRelay(connections: ConnectionSet): void {
    (this.tty ?? this.pipeRelay)?.start(connections);
  }

  wait(): Promise<number> {
    return this.#drained;
  }

  signal(signal: number): boolean {
    return this.#process.signal(signal);
  }

  async delivered(): Promise<void> {
    await this.#drained;
    await (this.tty ?? this.pipeRelay)?.delivered();
  }

  /**
   * As delete(), but output that its host has not taken yet is delivered first, without anybody waiting for that: nothing of
   * the container is needed for it.
   */
  async deleteDelivered(): Promise<void> {
    if ((this.tty ?? this.pipeRelay)?.isDelivering !== true) return await this.delete();
    this.#onDelete?.();
    this.delivered()
      .then(() => this.delete())
      .catch((cause: unknown) => this.#onError(`free what process ${this.pid} held`, cause));
  }

  delete(): Promise<void> {
    this.#deleted ??= this.#delete();
    return this.#deleted;
  }

  async #drain({ onExit, onError }: RuncProcessOptions): Promise<number> {
    const code = await this.exited;
    try {
      await onExit?.();
      await this.tty?.drain();
      await this.pipeRelay?.drain();
    } catch (cause) {
      onError(`drain the output of process ${this.pid}`, cause);
    }
    return code;
  }

  async #delete(): Promise<void> {
    const isFree = (await (this.tty ?? this.pipeRelay)?.close()) ?? true;
    if (!isFree) {
      const why = "a program that has them too holds up the kernel; they are freed once it lets go";
      this.#onError(`close the streams of process ${this.pid}`, new AgentError("TIMEOUT", why));
    }
    this.#onDelete?.();
  }
}
