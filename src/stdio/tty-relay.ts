import {
  closeFd,
  duplicateFd,
  openPty,
  type Relay,
  setWindowSize,
  startRelay,
} from "../../native/hvsock/index.ts";
import { AgentError } from "../common/errors.ts";
import { type ConnectionSet, closeConnections } from "./connection-set.ts";
import { drainOutput, hostCloseMs } from "./drain.ts";
import type { ChildFds } from "./pipe-relay.ts";

/**
 * The master of a process's terminal and the relays between it and the host's connections: stdin and stdout,
 * which may be one and the same connection. A terminal has no stderr. As PipeRelay: new, start()
 * with the connections, drain() after the exit, close().
 *
 * The end of the host's stdin changes nothing for the process: no ^D is typed, and the terminal stays open.
 */
export class TtyRelay {
  #masterFd: number;
  /** The process's end of a terminal that was opened here. */
  #childFd = -1;
  #state: "new" | "started" | "closed" = "new";
  #input: Relay | undefined;
  #output: Relay | undefined;

  /** Owns the descriptor from here. */
  constructor(masterFd: number) {
    this.#masterFd = masterFd;
  }

  /** A new terminal, whose other end is for a process to be started. @throws Error with code EMFILE, ENFILE or ENOSPC */
  static open(): TtyRelay {
    const { masterFd, slaveFd } = openPty();
    const relay = new TtyRelay(masterFd);
    relay.#childFd = slaveFd;
    return relay;
  }

  /** Fds for the child of a terminal that open() made; none after closeChildFds(). */
  get childFds(): ChildFds {
    const fd = this.#childFd;
    return fd < 0 ? {} : { stdin: fd, stdout: fd, stderr: fd };
  }

  /** Closes the child's end here, once the child has it: only then can the output end. */
  closeChildFds(): void {
    if (this.#childFd >= 0) closeFd(this.#childFd);
    this.#childFd = -1;
  }

  /**
   * Starts to move bytes. Without stdin nothing is typed; without stdout the output is discarded. The relay owns the
   * connections from here, also when it refuses them.
   * @throws AgentError INVALID_STATE when started or closed already; the connections are closed then.
   */
  start(connections: ConnectionSet): void {
    try {
      if (this.#state !== "new") throw new AgentError("INVALID_STATE", `the relay is ${this.#state} already`);
      this.#state = "started";
      this.#start(connections);
    } finally {
      closeConnections(connections);
    }
  }

  #start({ stdin, stdout }: ConnectionSet): void {
    // Each direction owns a descriptor of its own, also where both use one connection.
    const stdinFd =
      stdin === undefined ? undefined : stdin === stdout ? duplicateFd(stdin.fd) : stdin.release();
    if (stdinFd !== undefined) {
      const sink = duplicateFd(this.#masterFd);
      this.#input = startRelay({
        source: stdinFd,
        sink,
        shutdownSource: stdin !== stdout,
        lingerMs: hostCloseMs,
      });
    }
    this.#output = startRelay({
      source: duplicateFd(this.#masterFd),
      sink: stdout?.release() ?? "discard",
      shutdownSink: true,
      discardAfterSinkError: true,
      lingerMs: hostCloseMs,
    });
  }

  /**
   * Sets the terminal's size; resizing after the end is no error.
   * @param height rows @param width columns, each 0 to 65535. @throws RangeError
   */
  resize(height: number, width: number): void {
    if (this.#masterFd < 0) return;
    try {
      setWindowSize(this.#masterFd, height, width);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EIO") throw error;
    }
  }

  /** After the process has exited; as PipeRelay.drain(). */
  async drain(): Promise<void> {
    if (this.#state !== "started") return;
    this.closeChildFds();
    this.#input?.cancel();
    if (this.#output !== undefined) await drainOutput(this.#output);
  }

  /** As PipeRelay.delivered(). */
  async delivered(): Promise<void> {
    await Promise.all([this.#input?.closed, this.#output?.closed]);
  }

  /** Frees all fds now, settling when they are free; bytes on their way are lost. Safe at any time. */
  async close(): Promise<void> {
    this.#state = "closed";
    this.closeChildFds();
    if (this.#masterFd >= 0) closeFd(this.#masterFd);
    this.#masterFd = -1;
    const relays = [this.#input, this.#output].filter((relay) => relay !== undefined);
    this.#input = undefined;
    this.#output = undefined;
    for (const relay of relays) relay.cancel();
    await Promise.all(relays.map((relay) => relay.closed));
  }
}
