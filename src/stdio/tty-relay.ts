import { closeFd, duplicateFd, type Relay, setWindowSize, startRelay } from "../../native/hvsock/index.ts";
import { AgentError } from "../common/errors.ts";
import { type ConnectionSet, closeConnections } from "./connection-set.ts";
import { drainOutput, hostCloseMs } from "./drain.ts";

/**
 * The master of a process's terminal and the relays between it and the host's connections: stdin and stdout,
 * which may be one and the same connection. A terminal has no stderr. As PipeRelay: new, start()
 * with the connections, drain() after the exit, close().
 *
 * The end of the host's stdin changes nothing for the process: no ^D is typed, and the terminal stays open.
 */
export class TtyRelay {
  #masterFd: number;
  #state: "new" | "started" | "closed" = "new";
  #input: Relay | undefined;
  #output: Relay | undefined;

  /** Owns the descriptor from here. */
  constructor(masterFd: number) {
    this.#masterFd = masterFd;
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
    this.#input?.cancel();
    if (this.#output !== undefined) await drainOutput(this.#output);
  }

  /** Frees all fds now, settling when they are free; bytes on their way are lost. Safe at any time. */
  async close(): Promise<void> {
    this.#state = "closed";
    if (this.#masterFd >= 0) closeFd(this.#masterFd);
    this.#masterFd = -1;
    const relays = [this.#input, this.#output].filter((relay) => relay !== undefined);
    this.#input = undefined;
    this.#output = undefined;
    for (const relay of relays) relay.cancel();
    await Promise.all(relays.map((relay) => relay.closed));
  }
}
