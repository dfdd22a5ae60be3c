import {
  closeFd,
  closeInBackground,
  duplicateFd,
  openPty,
  type Relay,
  setWindowSize,
  shutdownSocket,
  startRelay,
} from "../../native/hvsock/index.ts";
import { settlesWithin, withDeadline } from "../common/deadline.ts";
import { AgentError } from "../common/errors.ts";
import { isSystemError } from "../common/system-error.ts";
import { type ConnectionSet, closeConnections } from "./connection-set.ts";
import { drainOutput, endWhenSilent, hostCloseMs, kernelCallMs, type RelayProgress } from "./drain.ts";
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
  /** drain() was called: the process has exited. */
  #isDraining = false;
  /** Of the one connection that carries both directions, to end its input alone. */
  #sharedFd = -1;
  #input: Relay | undefined;
  #output: Relay | undefined;
  /** The program on the terminal can make the kernel wait. */
  readonly #closings: Promise<void>[] = [];

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
    if (this.#childFd >= 0) this.#closings.push(closeInBackground(this.#childFd));
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
    const isShared = stdin !== undefined && stdin === stdout;
    // Each direction owns descriptors of its own. All there are to be made first: there may be no room for one.
    const made: number[] = [];
    const duplicate = (fd: number): number => {
      const copy = duplicateFd(fd);
      made.push(copy);
      return copy;
    };
    const give = (fd: number): number => made.splice(made.indexOf(fd), 1)[0] ?? fd;
    try {
      const outputSource = duplicate(this.#masterFd);
      if (stdin !== undefined && !this.#isDraining) {
        const sink = duplicate(this.#masterFd);
        const source = isShared ? duplicate(stdin.fd) : undefined;
        if (isShared) this.#sharedFd = duplicateFd(stdin.fd);
        this.#input = startRelay({
          source: source === undefined ? stdin.release() : give(source),
          sink: give(sink),
          shutdownSource: !isShared,
          lingerMs: hostCloseMs,
        });
      } else if (isShared) {
        stdin.shutdown("read");
      }
      this.#output = startRelay({
        source: give(outputSource),
        sink: stdout?.release() ?? "discard",
        shutdownSink: true,
        discardAfterSinkError: true,
        lingerMs: hostCloseMs,
      });
      if (this.#isDraining) void endWhenSilent(this.#output);
    } finally {
      for (const fd of made) closeFd(fd);
    }
  }

  /**
   * Sets the terminal's size; resizing after the end is no error.
   * @param height rows @param width columns, each 0 to 65535.
   * @throws RangeError; AgentError TIMEOUT where a program on the terminal keeps the kernel from it
   */
  async resize(height: number, width: number): Promise<void> {
    if (this.#masterFd < 0) return;
    try {
      const what = "setting the terminal's size, which a program on it can hold up,";
      await withDeadline(setWindowSize(this.#masterFd, height, width), what, { timeoutMs: kernelCallMs });
    } catch (error) {
      if (!isSystemError(error, "EIO")) throw error;
    }
  }

  /** After the process has exited; as PipeRelay.drain(). */
  async drain(): Promise<void> {
    this.#isDraining = true;
    if (this.#state !== "started") return;
    this.closeChildFds();
    this.#input?.cancel();
    this.#endSharedInput();
    if (this.#output !== undefined) await drainOutput(this.#output);
  }

  /** As PipeRelay.delivered(). */
  async delivered(): Promise<void> {
    await Promise.all([this.#input?.closed, this.#output?.closed]);
  }

  /** As PipeRelay.progress; of a terminal, whose errors go where its output goes. */
  get progress(): readonly RelayProgress[] {
    const streams = { stdin: this.#input, stdout: this.#output };
    return (["stdin", "stdout"] as const).flatMap((stream) => {
      const relay = streams[stream];
      return relay === undefined ? [] : { stream, bytes: relay.bytes, hasEnded: relay.hasEnded };
    });
  }

  /** As PipeRelay.isDelivering. */
  get isDelivering(): boolean {
    return this.#output?.hasEnded === false;
  }

  /** As PipeRelay.close(). */
  async close(withinMs = kernelCallMs): Promise<boolean> {
    this.#state = "closed";
    this.closeChildFds();
    if (this.#masterFd >= 0) this.#closings.push(closeInBackground(this.#masterFd));
    this.#masterFd = -1;
    this.#endSharedInput();
    const relays = [this.#input, this.#output].filter((relay) => relay !== undefined);
    this.#input = undefined;
    this.#output = undefined;
    for (const relay of relays) relay.cancel();
    const closed = Promise.all([...this.#closings, ...relays.map((relay) => relay.closed)]);
    return await settlesWithin(closed, withinMs);
  }

  /** Nobody reads it any more, and while output is on its way the connection stays: a host's write would hang. */
  #endSharedInput(): void {
    if (this.#sharedFd < 0) return;
    shutdownSocket(this.#sharedFd, "read");
    closeFd(this.#sharedFd);
    this.#sharedFd = -1;
  }
}
