import { AgentError } from "../../common/errors.ts";
import { INFINITE_TIMEOUT } from "../../protocol/schemas/process.ts";
import type { HostBridge } from "./host-bridge.ts";
import type { RequestOptions } from "./pending-request.ts";
import { type ProcessStreams, StdioChannels, type StdioPorts, type WantedStreams } from "./stdio-channels.ts";

const MAX_SIGNAL = 64;
/** How much later than its own deadline a guest may answer a wait. */
const ANSWER_MARGIN_MS = 30_000;

/** What a process needs of the connection it came over. */
export interface ProcessHost {
  readonly bridge: HostBridge;
  readonly stdioPorts: StdioPorts;
}

/** A process in a container or in the utility VM. */
export class GuestProcess {
  /** In the utility VM's pid namespace. */
  readonly pid: number;
  /** Present when asked for. end() gives the process its end of file; closes when nobody reads it any more. */
  readonly stdin: ProcessStreams["stdin"];
  /** Present when asked for. Ends when all output has come; read it to the end, or close() the process. */
  readonly stdout: ProcessStreams["stdout"];
  readonly stderr: ProcessStreams["stderr"];
  readonly #bridge: HostBridge;
  readonly #containerId: string;
  /** Asked for at once, as the real host does, so that the guest answers before it notifies of init's exit. */
  readonly #exited: Promise<number>;

  private constructor(bridge: HostBridge, containerId: string, pid: number, streams: ProcessStreams) {
    this.#bridge = bridge;
    this.#containerId = containerId;
    this.pid = pid;
    this.stdin = streams.stdin;
    this.stdout = streams.stdout;
    this.stderr = streams.stderr;
    this.#exited = this.#requestWait(INFINITE_TIMEOUT, { timeoutMs: 0 });
    // A caller that never waits must not make a lost bridge an unhandled rejection; wait() still rejects.
    this.#exited.catch(() => undefined);
  }

  /**
   * Listens for the streams, sends the request and accepts them. After a failure no listener is left; and when
   * the process was started all the same, it is killed.
   * @param parameters ProcessParameters of the request, but for the streams.
   */
  static async create(
    host: ProcessHost,
    containerId: string,
    parameters: object,
    wanted: WantedStreams,
    options: RequestOptions = {},
  ): Promise<GuestProcess> {
    const channels = await StdioChannels.open(host.stdioPorts, wanted);
    try {
      const reply = await host.bridge.request(
        "ExecuteProcess",
        {
          ContainerId: containerId,
          Settings: {
            ProcessParameters: {
              ...parameters,
              CreateStdInPipe: wanted.stdin === true,
              CreateStdOutPipe: wanted.stdout === true,
              CreateStdErrPipe: wanted.stderr === true,
            },
            VsockStdioRelaySettings: channels.ports,
          },
        },
        options,
      );
      try {
        const streams = await channels.accept(options.signal === undefined ? {} : { signal: options.signal });
        return new GuestProcess(host.bridge, containerId, reply.ProcessId, streams);
      } catch (cause) {
        host.bridge.post("SignalProcess", { ContainerId: containerId, ProcessId: reply.ProcessId });
        throw cause;
      }
    } finally {
      await channels.close();
    }
  }

  /**
   * The exit code: 0 to 255, 128+N when signal N ended the process. Any number of callers may wait. What the
   * process wrote may still be under way in its streams.
   *
   * @param timeoutMs default: for ever.
   * @throws AgentError TIMEOUT while it still runs; TRANSPORT_CLOSED when the guest is gone; ABORTED
   */
  async wait(timeoutMs?: number, options: { signal?: AbortSignal } = {}): Promise<number> {
    if (timeoutMs !== undefined) {
      const bounded = Math.min(Math.max(0, Math.ceil(timeoutMs)), INFINITE_TIMEOUT - 1);
      return await this.#requestWait(bounded, { timeoutMs: bounded + ANSWER_MARGIN_MS, ...options });
    }
    const { signal } = options;
    if (signal === undefined) return await this.#exited;
    return await new Promise((resolve, reject) => {
      const onAbort = () =>
        reject(
          new AgentError("ABORTED", `waiting for process ${this.pid} was aborted`, { cause: signal.reason }),
        );
      if (signal.aborted) onAbort();
      signal.addEventListener("abort", onAbort, { once: true });
      this.#exited.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
    });
  }

  /**
   * @param signal Linux signal number, 1 to 64; default SIGKILL.
   * @returns false when the process has exited already.
   * @throws AgentError INVALID_ARGUMENT, TRANSPORT_CLOSED, or what the guest answers
   */
  async signal(signal?: number, options: RequestOptions = {}): Promise<boolean> {
    if (signal !== undefined && !(Number.isInteger(signal) && signal >= 1 && signal <= MAX_SIGNAL)) {
      throw new AgentError("INVALID_ARGUMENT", `${signal} is no signal; use 1 to ${MAX_SIGNAL}`);
    }
    const body = {
      ContainerId: this.#containerId,
      ProcessId: this.pid,
      ...(signal !== undefined && { Options: { Signal: signal } }),
    };
    try {
      await this.#bridge.request("SignalProcess", body, options);
      return true;
    } catch (error) {
      if (error instanceof AgentError && error.code === "PROCESS_NOT_FOUND") return false;
      throw error;
    }
  }

  /** Sets the size of the process's terminal. @throws AgentError NOT_A_TERMINAL, TRANSPORT_CLOSED */
  async resize(rows: number, columns: number, options: RequestOptions = {}): Promise<void> {
    const body = { ContainerId: this.#containerId, ProcessId: this.pid, Height: rows, Width: columns };
    await this.#bridge.request("ResizeConsole", body, options);
  }

  /** Gives the process its end of file, once what was written before has gone. Closing a closed stdin is no error. */
  async closeStdin(): Promise<void> {
    const { stdin } = this;
    if (stdin === undefined || stdin.destroyed || stdin.writableEnded) return;
    await new Promise<void>((resolve) => {
      stdin.once("close", resolve);
      stdin.end(resolve);
    });
  }

  /** Closes the streams; the process itself runs on. Safe more than once. */
  close(): void {
    this.stdin?.destroy();
    this.stdout?.destroy();
    this.stderr?.destroy();
  }

  async #requestWait(timeoutInMs: number, options: RequestOptions): Promise<number> {
    const body = { ContainerId: this.#containerId, ProcessId: this.pid, TimeoutInMs: timeoutInMs };
    return (await this.#bridge.request("WaitForProcess", body, options)).ExitCode;
  }
}
